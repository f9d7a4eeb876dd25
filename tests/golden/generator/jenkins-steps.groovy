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
        stage('Prepare') {
            steps {
                sh 'npm ci'
            }
        }
        stage('Start the target') {
            steps {
                // Else Jenkins ends what the step leaves running in the background.
                withEnv(['JENKINS_NODE_COOKIE=dontKillMe']) {
                    sh 'docker compose --file deploy/compose.yml up --detach --wait'
                }
            }
        }
        stage('Record') {
            steps {
                fastRecording(targetUri: 'http://localhost:3000', testRunPolicyId: 'deploy/fast policy.yml', allowedHosts: '~^shop\\.(test|local)$', testRunStopOnFirstFail: 'true', buildId: 'auto') {
                    sh '''\
cd shop && npm test -- --reporter=\'dot\'
echo "all done"
'''
                }
            }
        }
        stage('Test') {
            steps {
                fastTesting(targetUri: 'http://localhost:3000', testRunPolicyId: 'deploy/fast policy.yml', allowedHosts: '~^shop\\.(test|local)$', testRunStopOnFirstFail: 'true', buildId: 'auto')
            }
        }
    }
    post {
        always {
            sh 'docker compose --file deploy/compose.yml down --volumes'
        }
    }
}
