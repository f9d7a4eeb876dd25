'use strict';
// Runs after the job's steps, whatever became of them: removes what this job made and is still there.
const { spawn } = require('node:child_process');
const os = require('node:os');
const path = require('node:path');

// Saved by main.js; without it nothing was started.
const python = process.env.STATE_python;
if (python) {
  const entrypoint = path.join(path.dirname(__dirname), 'entrypoint.py');
  const child = spawn(python, ['-E', '-s', entrypoint, 'post'], { stdio: 'inherit' });
  for (const name of ['SIGINT', 'SIGTERM']) process.on(name, () => child.kill(name));
  child.on('error', (error) => { console.log(`::warning title=FAST::cleanup did not run: ${error}`); });
  child.on('exit', (code, signal) => { process.exitCode = signal ? 128 + os.constants.signals[signal] : code; });
}
