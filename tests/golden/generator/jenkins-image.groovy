// FAST: the functional tests are recorded and replayed as attacks; a proven vulnerability fails the build.
// Needs the shared library "fast-action" (Manage Jenkins, System, Global Trusted Pipeline Libraries) and, on the agent,
// Python 3.11 or newer with venv.
@Library('fast-action@v1') _

pipeline {
    agent any
    options {
        timeout(time: 1, unit: 'HOURS')
    }
    stages {
        stage('FAST') {
            steps {
                fastPipeline(buildId: 'auto', targetUri: 'http://127.0.0.1:3000') {
                    sh 'npm test'
                }
            }
        }
    }

}
