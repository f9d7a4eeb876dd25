/** Records the requests of the functional tests in `body`; the recorder stops whatever becomes of them. */
void call(Map given = [:], Closure body) {
    fastStep(given, []) {
        sh label: 'FAST: start recording', script: '"$FASTCI" record --quiet'
        try {
            // Only the tests are told of the proxy: whatever else the build does goes its own way.
            withEnv(readFile('.fast/proxy.env').trim().readLines()) {
                body()
            }
        } finally {
            sh label: 'FAST: stop recording', script: '"$FASTCI" stop'
        }
    }
}
