/** Keeps the reports, and shows them by the plugins that this controller has: JUnit, Warnings. */
void call() {
    archiveArtifacts artifacts: '.fast/reports/**', allowEmptyArchive: true
    whenThere('JUnit') {
        // The verdict is ours: a failed test of the report must not make the build unstable by itself.
        junit testResults: '.fast/latest/junit.xml', allowEmptyResults: true, skipMarkingBuildUnstable: true
    }
    whenThere('Warnings') {
        recordIssues enabledForFailure: true,
            tool: sarif(id: 'fast', name: 'FAST', pattern: '.fast/latest/fast.sarif')
    }
}

/** A step of a plugin that is not installed is a method that does not exist. */
private void whenThere(String plugin, Closure body) {
    try {
        body()
    } catch (NoSuchMethodError missing) {
        echo("FAST: without the plugin ${plugin} its view of the results is not there (${missing.message})")
    }
}
