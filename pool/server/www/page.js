// The page: what the pool does, second by second, and a box to run a program.
'use strict';

const byId = (id) => document.getElementById(id);
const kSecondsMax = 120;

/** Headers of every request; the token is asked for when the server wants one. */
function headers(more = {}) {
  const token = sessionStorage.getItem('token');
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

async function ask(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: headers(options.headers) });
  if (answer.status !== 401) return answer;
  const token = window.prompt('This server wants a token:');
  if (!token) return answer;
  sessionStorage.setItem('token', token);
  return ask(path, options);
}

function chart(id, type, sets, options = {}) {
  return new Chart(byId(id), {
    type,
    data: { labels: [], datasets: sets.map((set) => ({ data: [], borderWidth: 1.5, pointRadius: 0, ...set })) },
    options: {
      animation: false,
      maintainAspectRatio: false,
      scales: { x: { ticks: { maxTicksLimit: 6 } }, y: { beginAtZero: true } },
      plugins: { legend: { display: sets.length > 1 } },
      ...options,
    },
  });
}

const colours = ['#2563eb', '#dc2626', '#16a34a', '#d97706'];
const charts = {
  jobs: chart('jobs-chart', 'line', [{ label: 'jobs', borderColor: colours[0] }]),
  latency: chart('latency-chart', 'line', [
    { label: 'p50', borderColor: colours[0] },
    { label: 'p99', borderColor: colours[1] },
  ]),
  slots: chart('slots-chart', 'line', [
    { label: 'ready', borderColor: colours[2] },
    { label: 'running', borderColor: colours[0] },
    { label: 'queued', borderColor: colours[3] },
  ]),
  outcomes: chart('outcomes-chart', 'bar', [{ label: 'jobs', backgroundColor: colours[0] }], { indexAxis: 'y' }),
};

function append(target, label, values) {
  target.data.labels.push(label);
  target.data.datasets.forEach((set, i) => set.data.push(values[i]));
  if (target.data.labels.length > kSecondsMax) {
    target.data.labels.shift();
    target.data.datasets.forEach((set) => set.data.shift());
  }
  target.update('none');
}

function showSecond(second) {
  const label = new Date(second.unix_ms).toLocaleTimeString();
  append(charts.jobs, label, [second.jobs]);
  append(charts.latency, label, [second.jobs ? second.p50_ms : null, second.jobs ? second.p99_ms : null]);
  append(charts.slots, label, [second.slots_ready, second.running, second.queued]);
  byId('slots').textContent = `${second.slots_ready} of ${second.slots_total}`;
  byId('running').textContent = second.running;
  byId('queued').textContent = second.queued;
  byId('rate').textContent = second.jobs;
  byId('latency').textContent = second.jobs ? `${second.p50_ms.toFixed(1)} / ${second.p99_ms.toFixed(1)} ms` : '–';
}

function cell(row, text) {
  row.insertCell().textContent = text;
}

function showStats(stats) {
  byId('host').textContent = `${stats.host}, ${stats.slots_total} slots`;
  byId('reported').textContent = stats.reported;
  const names = Object.keys(stats.outcomes);
  charts.outcomes.data.labels = names;
  charts.outcomes.data.datasets[0].data = names.map((name) => stats.outcomes[name]);
  charts.outcomes.update('none');
  const body = byId('recent');
  body.replaceChildren();
  for (const job of stats.recent) {
    const row = body.insertRow();
    cell(row, job.outcome);
    cell(row, job.exit_code ?? (job.signal ? `signal ${job.signal}` : ''));
    cell(row, job.cpu_ms === undefined ? '' : `${job.cpu_ms.toFixed(1)} ms`);
    cell(row, job.memory_bytes === undefined ? '' : `${(job.memory_bytes / 1048576).toFixed(1)} MiB`);
    cell(row, `${job.latency_ms.toFixed(1)} ms`);
    cell(row, job.slot);
    cell(row, job.id);
  }
}

/** Server-Sent Events by fetch, since EventSource can't send a token. */
async function follow() {
  for (;;) {
    try {
      const answer = await ask('/v1/events');
      if (!answer.ok) throw new Error(`the server says ${answer.status}`);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let waiting = '';
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const events = (waiting + value).split('\n\n');
        waiting = events.pop();
        for (const event of events) {
          const data = event.split('\n').find((line) => line.startsWith('data: '));
          if (data) showSecond(JSON.parse(data.slice(6)));
        }
        if (events.length) showStats(await (await ask('/v1/stats')).json());
      }
    } catch (error) {
      byId('host').textContent = `no connection: ${error.message}`;
    }
    await new Promise((resolve) => { setTimeout(resolve, 2000); });
  }
}

/** A job of README's "Job JSON" for what is in the form. */
function jobOf(language, program, input) {
  const scripts = {
    sh: { path: 'program.sh', args: ['/bin/sh', 'program.sh'] },
    python3: { path: 'program.py', args: ['/usr/bin/python3', 'program.py'] },
    cpp: { path: 'program.cpp', args: ['/bin/sh', '-c', 'g++ -O1 -o program program.cpp && ./program'] },
  };
  const { path, args } = scripts[language];
  return {
    args,
    stdin: { text: input },
    files_in: [{ path, text: program }],
    limits: { cpu_time: Number(byId('cpu-time').value), wall_time: 60, memory: Number(byId('memory').value) * 1048576 },
  };
}

function outputText(report, name) {
  const output = report.outputs.find((one) => one.name === name);
  if (!output) return '';
  return output.text ?? `${output.size} bytes that are no text`;
}

async function run(event) {
  event.preventDefault();
  byId('submit').disabled = true;
  byId('error').textContent = '';
  try {
    const job = jobOf(byId('language').value, byId('program').value, byId('input').value);
    const answer = await ask('/v1/jobs?wait=1', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(job),
    });
    const body = await answer.json();
    byId('result').hidden = false;
    if (!answer.ok) {
      byId('outcome').textContent = 'refused';
      byId('error').textContent = body.error?.message ?? body;
      return;
    }
    const { report } = body;
    byId('outcome').textContent = report.outcome;
    byId('figures').textContent = `${(report.cpu_time_ns / 1e6).toFixed(1)} ms of CPU, ` +
      `${(report.memory_peak_bytes / 1048576).toFixed(1)} MiB`;
    if (report.error) byId('error').textContent = report.error.message ?? JSON.stringify(report.error);
    byId('stdout').textContent = outputText(report, 'stdout');
    byId('stderr').textContent = outputText(report, 'stderr');
    byId('report').textContent = JSON.stringify(report, null, 2);
  } catch (error) {
    byId('result').hidden = false;
    byId('outcome').textContent = 'failed';
    byId('error').textContent = error.message;
  } finally {
    byId('submit').disabled = false;
  }
}

byId('run').addEventListener('submit', run);
follow();
