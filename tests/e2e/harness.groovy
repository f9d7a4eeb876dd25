// groovy harness.groovy LIBRARY JENKINSFILE WORKSPACE
//
// Runs a Jenkinsfile, declarative or scripted, with the shared library in LIBRARY/vars on plain Groovy: `sh` is a real
// shell, credentials are masked, SIGTERM is the abort button. What it cannot show is what only a controller has: CPS
// serialisation, the script sandbox, the validator of declarative pipelines, plugins.
//
// Plugins that are there are named in HARNESS_PLUGINS (junit, warnings-ng). HARNESS_AGENT names a container in which
// the shell steps run, as with `agent { docker ... }`; the workspace is mounted there under the same path.
// Credentials are the variables CREDENTIAL_<id>, with `_` for what a variable's name cannot hold.
import org.codehaus.groovy.control.CompilerConfiguration

class StepFailed extends RuntimeException { StepFailed(String text) { super(text) } }
class Aborted extends RuntimeException { Aborted() { super('the build was aborted') } }

class Controller {
    File workspace
    Map<String, String> env = [:]
    List<String> secrets = []
    String result = 'SUCCESS'
    boolean declarative = false
    volatile Process running
    volatile boolean aborted = false

    private void say(String text) {
        secrets.each { text = text.replace(it, '****') }
        println(text)
        System.out.flush()
    }

    // steps

    void echo(Object text) { say(text.toString()) }
    void error(String text) { throw new StepFailed(text) }
    void unstable(String text) { result = 'UNSTABLE'; say("WARNING: ${text}") }
    Object sh(String script) { sh(script: script) }

    Object sh(Map given) {
        assert given.keySet() - ['script', 'label', 'returnStatus', 'returnStdout'] == [] as Set
        if (aborted && given.label == null) throw new Aborted()
        say("[Pipeline] sh (${given.label ?: 'Shell Script'})")
        List<String> words = ['sh', '-xe', '-c', given.script.toString()]
        String agent = System.getenv('HARNESS_AGENT')
        if (agent) {
            def inside = env.findAll { name, value -> !(name in ['PATH', 'HOME']) }
            words = ['docker', 'exec', '--workdir', workspace.path] +
                inside.collectMany { name, value -> ['--env', "${name}=${value}".toString()] } + [agent] + words
        }
        def builder = new ProcessBuilder(words).directory(workspace)
        builder.environment().clear()
        builder.environment().putAll(env)
        if (!given.returnStdout) builder.redirectErrorStream(true)
        boolean before = aborted
        def process = builder.start()
        running = process
        process.outputStream.close()
        def output = new StringBuilder()
        process.inputStream.eachLine { line ->
            if (given.returnStdout) output << line << '\n' else say(line)
        }
        int status = process.waitFor()
        running = null
        if (aborted && !before) throw new Aborted()
        if (given.returnStatus) return status
        if (status != 0) throw new StepFailed("script returned exit code ${status}")
        return given.returnStdout ? output.toString() : null
    }

    void abort() {
        aborted = true
        running?.descendants()?.forEach { it.destroy() }
        // Through the handle: to destroy a Process closes its output under whoever reads it.
        running?.toHandle()?.destroy()
    }

    Object withEnv(List<String> pairs, Closure body) {
        Map<String, String> before = new LinkedHashMap(env)
        pairs.each { pair ->
            def (name, value) = pair.toString().split('=', 2) as List
            if (name.startsWith('PATH+')) env.PATH = value + ':' + env.PATH else env[name] = value
        }
        try { body() } finally { env = before }
    }

    Map string(Map given) { given }

    Object withCredentials(List<Map> wanted, Closure body) {
        List<String> pairs = wanted.collect { credential ->
            String value = System.getenv('CREDENTIAL_' + credential.credentialsId.replaceAll(/\W/, '_'))
            if (value == null) throw new StepFailed("Could not find credentials entry with ID '${credential.credentialsId}'")
            secrets << value
            "${credential.variable}=${value}".toString()
        }
        withEnv(pairs, body)
    }

    String pwd() { workspace.path }
    String readFile(String path) { new File(workspace, path).text }
    boolean fileExists(String path) { new File(workspace, path).exists() }

    void archiveArtifacts(Map given) {
        String folder = given.artifacts - '/**'
        def files = new File(workspace, folder)
        int count = files.exists() ? files.listFiles().length : 0
        if (count == 0 && !given.allowEmptyArchive) throw new StepFailed("No artifacts found that match '${given.artifacts}'")
        say("Archived ${count} artifacts of ${given.artifacts}")
    }

    private boolean has(String plugin) { (System.getenv('HARNESS_PLUGINS') ?: '').split(',').contains(plugin) }

    private void need(String plugin, String step) {
        if (!has(plugin)) throw new NoSuchMethodError("No such DSL method '${step}' found among steps")
    }

    void junit(Map given) {
        need('junit', 'junit')
        def file = new File(workspace, given.testResults)
        if (!file.exists() && !given.allowEmptyResults) throw new StepFailed('No test report files were found')
        def suites = file.exists() ? new XmlSlurper().parse(file) : null
        int failed = suites == null ? 0 : suites.'**'.count { it.name() == 'failure' }
        if (failed && !given.skipMarkingBuildUnstable) result = 'UNSTABLE'
        say("Recorded test results: ${failed} failed")
    }

    Map sarif(Map given) {
        need('warnings-ng', 'sarif')
        return given
    }

    void recordIssues(Map given) {
        need('warnings-ng', 'recordIssues')
        def log = new groovy.json.JsonSlurper().parse(new File(workspace, given.tool.pattern))
        say("[${given.tool.name}] found ${log.runs[0].results.size()} issues")
    }

    private final Map<String, File> stashes = [:]

    void stash(Map given) {
        String folder = given.includes - '/**'
        def kept = File.createTempDir()
        assert new File(workspace, folder).list()?.length : "No files included in stash '${given.name}'"
        run(['cp', '-R', '--parents', folder, kept.path])
        stashes[given.name] = kept
    }

    void unstash(String name) {
        assert stashes[name] : "No such saved stash '${name}'"
        run(['cp', '-R', stashes[name].path + '/.', '.'])
    }

    private void run(List<String> words) {
        def process = new ProcessBuilder(words).directory(workspace).inheritIO().start()
        assert process.waitFor() == 0
    }

    /** One after the other: what is in a branch counts here, not that they overlap. */
    void parallel(Map branches) {
        branches.findAll { it.value instanceof Closure }.each { name, body ->
            say("[Pipeline] branch ${name}")
            body()
        }
    }

    Object timeout(Map given, Closure body) { body() }
    Object node(String label = '', Closure body) { body() }
    void checkout(Object what) { say('[Pipeline] checkout') }
    Object getScm() { 'scm' }
    Map getCurrentBuild() { [currentResult: result] }

    Object stage(String name, Closure body) {
        say("[Pipeline] stage ${name}")
        if (!declarative) return body()
        def parts = new Parts()
        parts.read(body)
        section(parts) { (parts.get('steps') ?: parts.get('parallel'))() }
    }

    // declarative

    void pipeline(Closure body) {
        declarative = true
        def parts = new Parts()
        parts.read(body)
        try {
            section(parts) { parts.get('stages')() }
        } catch (StepFailed | Aborted failure) {
            say("ERROR: ${failure.message}")
        }
    }

    private void section(Parts parts, Closure work) {
        try {
            work()
        } catch (StepFailed failure) {
            result = 'FAILURE'
            throw failure
        } catch (Aborted abort) {
            result = 'ABORTED'
            throw abort
        } finally {
            def post = new Parts()
            if (parts.get('post')) post.read(parts.get('post'))
            ['always', result.toLowerCase(), 'cleanup'].each { post.get(it)?.call() }
        }
    }
}

/** The sections of a declarative block: each name with the closure behind it. */
class Parts {
    private final Map<String, Closure> found = [:]
    private static final List<String> KNOWN = [
        'agent', 'options', 'stages', 'steps', 'parallel', 'post', 'environment',
        'always', 'success', 'failure', 'unstable', 'aborted', 'cleanup',
    ]
    void read(Closure block) { block.delegate = this; block.resolveStrategy = Closure.DELEGATE_FIRST; block() }
    Closure get(String name) { found[name] }
    Object getAny() { 'any' }
    Object getNone() { 'none' }
    Object methodMissing(String name, Object given) {
        if (!KNOWN.contains(name)) throw new MissingMethodException(name, Parts, given as Object[])
        def last = (given as List)[-1]
        found[name] = last instanceof Closure ? last : null
        null
    }
}

/** What a Jenkinsfile and a library step can call: the other steps of the library, then the controller. */
abstract class PipelineScript extends Script {
    Object invokeMethod(String name, Object given) {
        def step = getBinding().getVariable('library')[name]
        if (step != null && !step.is(this)) return step.call(*(given as Object[]))
        if (step != null && name == 'call') return super.invokeMethod(name, given)
        def controller = getBinding().getVariable('controller')
        if (controller.metaClass.respondsTo(controller, name)) return controller.invokeMethod(name, given)
        // What the script itself defines; anything else is no step of any plugin that is there.
        if (metaClass.respondsTo(this, name)) return super.invokeMethod(name, given)
        throw new NoSuchMethodError("No such DSL method '${name}' found among steps")
    }

    Object getProperty(String name) {
        def controller = getBinding().getVariable('controller')
        if (name in ['env', 'scm', 'currentBuild']) return controller."${name}"
        super.getProperty(name)
    }
}

@interface Library { String[] value() }

def (library, jenkinsfile, workspace) = args.collect { new File(it).absoluteFile }
def controller = new Controller(workspace: workspace)
controller.env.putAll(System.getenv().findAll { name, value -> !name.startsWith('CREDENTIAL_') })
controller.env.WORKSPACE = workspace.path
sun.misc.Signal.handle(new sun.misc.Signal('TERM'), { controller.abort() } as sun.misc.SignalHandler)

def binding = new Binding(controller: controller, library: [:])
def shell = new GroovyShell(getClass().classLoader, binding, new CompilerConfiguration(scriptBaseClass: 'PipelineScript'))
new File(library, 'vars').eachFileMatch(~/.*\.groovy/) { file ->
    def step = shell.parse(file)
    step.binding = binding
    binding.getVariable("library")[file.name - '.groovy'] = step
}
try {
    shell.evaluate(jenkinsfile.text, 'Jenkinsfile.groovy')
} catch (StepFailed failure) {
    controller.result = 'FAILURE'
    println("ERROR: ${failure.message}")
} catch (Aborted abort) {
    controller.result = 'ABORTED'
    println("ERROR: ${abort.message}")
}
println("Finished: ${controller.result}")
System.exit(['SUCCESS', 'UNSTABLE', 'FAILURE', 'NOT_BUILT', 'ABORTED'].indexOf(controller.result))
