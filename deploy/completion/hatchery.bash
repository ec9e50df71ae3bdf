# Bash completion for hatchery: verbs, options, their values, and the command after "--".
# Install as /usr/share/bash-completion/completions/hatchery, or source it.
# Verbs and options come from `hatchery --help`, so they are always those of the installed version.

_hatchery_verbs() {
  "$1" --help 2>/dev/null | sed -n '/^Subcommands:/,/^$/s/^  \([a-z][a-z-]*\).*/\1/p'
}

# Options stand behind two spaces exactly; anything further right is a description.
_hatchery_options() {
  "$1" ${2:+"$2"} --help 2>/dev/null | sed -nE 's/^  (-[a-zA-Z],)?(--[a-z][a-z-]*).*/\2/p'
}

_hatchery() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
  local verb=${COMP_WORDS[1]} word index
  COMPREPLY=()

  if ((COMP_CWORD == 1)); then
    mapfile -t COMPREPLY < <(compgen -W \
      "$(_hatchery_verbs "${COMP_WORDS[0]}") $(_hatchery_options "${COMP_WORDS[0]}" '')" -- "$current")
    return
  fi

  if [[ $verb == run ]]; then
    for ((index = 2; index < COMP_CWORD; index++)); do
      word=${COMP_WORDS[index]}
      [[ $word == -- ]] || continue
      if declare -F _command_offset >/dev/null; then
        _command_offset $((index + 1))
      elif ((COMP_CWORD == index + 1)); then
        mapfile -t COMPREPLY < <(compgen -c -- "$current")
      else
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
      fi
      return
    done
  fi

  case $previous in
    --network) mapfile -t COMPREPLY < <(compgen -W 'none host' -- "$current"); return ;;
    --refused-call) mapfile -t COMPREPLY < <(compgen -W 'errno kill' -- "$current"); return ;;
    --env) mapfile -t COMPREPLY < <(compgen -v -- "$current"); return ;;
    --root) mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
    --cpu-time | --wall-time | --memory | --memory-soft | --processes | --output | --file-size | \
      --open-files | --stack | --address-space | --cpu-rate | --cpu-weight | --cpu-set | --slots | \
      --in-flight | --repeat | --fd | --out-max | --cwd | --profile-name) return ;;
  esac

  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(_hatchery_options "${COMP_WORDS[0]}" "$verb")" -- "$current")
    return
  fi
  mapfile -t COMPREPLY < <(compgen -f -- "$current")
}

complete -o filenames -F _hatchery hatchery
