# What CPack needs to make the Debian package; deploy/debian-package calls it. One package, with the
# command and what an operator needs. The library is for those who build from source: it is static.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME hatchery)
set(CPACK_PACKAGE_VENDOR Hatchery)
set(CPACK_PACKAGE_CONTACT Hatchery)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "pool of prepared sandboxes for untrusted jobs")
# CPack puts the summary before it.
set(CPACK_DEBIAN_HATCHERY_DESCRIPTION "Runs untrusted programs: fast, confined, and with exact figures. Processes are kept waiting that already
sit inside their own namespaces and control groups; handing over a job is one message. For online judges,
CI executors and the like: by command line, by HTTP and WebSocket (also with the interface of go-judge).

The service is not enabled: systemctl enable --now hatchery.socket")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL hatchery)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_HATCHERY_PACKAGE_NAME hatchery)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# `hatchery run` of ordinary users; `hatchery bench --page`.
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "uidmap, policycoreutils, python3-matplotlib")
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
# No conffiles: settings are the operator's own file, /etc/default/hatchery.
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA "${CMAKE_CURRENT_LIST_DIR}/postinst"
  "${CMAKE_CURRENT_LIST_DIR}/prerm" "${CMAKE_CURRENT_LIST_DIR}/postrm")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
