'use strict';
// Makes the venv once for this runner and version, then hands over to entrypoint.py. Inputs stay in the environment.
const { spawn, spawnSync } = require('node:child_process');
const { createHash, randomUUID } = require('node:crypto');
const [fs, os, path] = [require('node:fs'), require('node:os'), require('node:path')];

const root = path.dirname(__dirname);
// A store in a database needs its driver.
const locked = path.join(root, 'locked', process.env.FAST_STORE ? 'image.txt' : 'action.txt');
const inVenv = (folder) => path.join(folder, ...(process.platform === 'win32' ? ['Scripts', 'python.exe'] : ['bin', 'python']));
// tomllib is new in 3.11, ensurepip is what Debian splits off. Looking for them is quick, importing them is not.
const PROBE = 'import os, sys; print(sys.executable, sys.version, sys.prefix); sys.exit(not all(os.path.exists(os.path.join(os.path.dirname(os.__file__), name, "__init__.py")) for name in ("tomllib", "ensurepip", "venv")))';

function fail(what, detail = '') {
  console.log(`::error title=FAST::${what}\n${detail}`);
  process.exit(3);
}

function findPython() {
  const tools = path.join(process.env.RUNNER_TOOL_CACHE || os.tmpdir(), 'Python');
  const versions = fs.existsSync(tools) ? fs.readdirSync(tools).sort((a, b) => b.localeCompare(a, 'en', { numeric: true })) : [];
  const cached = versions.map((version) => inVenv(path.join(tools, version, process.arch)));
  for (const python of ['python3', 'python', ...cached]) {
    const found = spawnSync(python, ['-I', '-S', '-c', PROBE], { encoding: 'utf8' });
    if (found.status === 0) return { python, facts: found.stdout };
  }
  return fail('no Python 3.11 or newer with the venv module was found; add actions/setup-python before this step');
}

function makeVenv({ python, facts }) {
  const key = createHash('sha256').update(facts).update(fs.readFileSync(locked)).digest('hex').slice(0, 16);
  const folder = path.join(process.env.RUNNER_TOOL_CACHE || process.env.RUNNER_TEMP || os.tmpdir(), 'fast-action', key);
  if (fs.existsSync(inVenv(folder))) return inVenv(folder);
  // Made aside and renamed: nobody meets half of it, neither after a cancel nor in a second job of this machine.
  const made = `${folder}.${randomUUID()}`;
  process.once('exit', () => fs.rmSync(made, { recursive: true, force: true }));
  const done = spawnSync(python, ['-I', path.join(__dirname, 'install.py'), made, locked], { encoding: 'utf8', maxBuffer: 1 << 26 });
  if (done.status !== 0) fail('the Python environment of the action cannot be made', `${done.error || ''}${done.stdout}${done.stderr}`);
  try { fs.renameSync(made, folder); } catch { /* another job was first: its environment is the same */ }
  return inVenv(folder);
}

const python = makeVenv(findPython());
if (process.env.GITHUB_STATE) fs.appendFileSync(process.env.GITHUB_STATE, `python=${python}${os.EOL}`);
const child = spawn(python, ['-E', '-s', path.join(root, 'entrypoint.py')], { stdio: 'inherit' });
for (const name of ['SIGINT', 'SIGTERM']) process.on(name, () => child.kill(name));
child.on('error', (error) => fail('entrypoint.py cannot be started', String(error)));
child.on('exit', (code, signal) => { process.exitCode = signal ? 128 + os.constants.signals[signal] : code; });
