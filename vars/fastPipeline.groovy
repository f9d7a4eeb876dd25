/** Records the functional tests in `body`, then tests the target: the whole road in one step. */
void call(Map given = [:], Closure body) {
    Map recording = [:]
    recording.putAll(given)
    recording.remove('failBuild')
    try {
        fastRecording(recording, body)
        fastTesting(given)
    } finally {
        // Without it nothing was started, and its installation is not tried a second time.
        if (fileExists('.fast/venv/bin/fastci')) {
            fastStep(recording, []) {
                sh label: 'FAST: clean', script: '"$FASTCI" clean'
            }
        }
    }
}
