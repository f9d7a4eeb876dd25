/** Tests the target with the record, keeps the reports, and decides about the build. Returns the exit status. */
int call(Map given = [:]) {
    int status = 3
    fastStep(given, ['failBuild', 'merge']) {
        try {
            if (given.merge) {
                status = sh(
                    label: 'FAST: put the shards together',
                    script: '"$FASTCI" report --merge .fast/runs/tr_*.json',
                    returnStatus: true
                )
            } else {
                status = sh(label: 'FAST: test', script: '"$FASTCI" test', returnStatus: true)
            }
        } finally {
            fastReports()
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
