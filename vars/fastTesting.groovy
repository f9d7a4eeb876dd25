/** Tests the target with the record, keeps the reports, and decides about the build. Returns the exit status. */
int call(Map given = [:]) {
    int status = 3
    fastStep(given, ['failBuild']) {
        try {
            status = sh(label: 'FAST: test', script: '"$FASTCI" test', returnStatus: true)
        } finally {
            archiveArtifacts artifacts: '.fast/reports/**', allowEmptyArchive: true
        }
    }
    if (status == 1 && given.failBuild == false) {
        unstable('FAST: vulnerabilities were proven, see the reports')
    } else if (status == 1) {
        error('FAST: vulnerabilities were proven, see the reports')
    } else if (status != 0) {
        error("FAST: testing did not come to an end, status ${status}; the log says why")
    }
    return status
}
