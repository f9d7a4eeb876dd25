// FAST: the functional tests are recorded and replayed as attacks; a proven vulnerability fails the build.
// Needs the shared library "fast-action" (Manage Jenkins, System, Global Trusted Pipeline Libraries) and, on the agent,
// Python 3.11 or newer with venv.
@Library('fast-action@v1') _

timeout(time: 1, unit: 'HOURS') {
    node {
        stage('Checkout') {
            checkout scm
        }
        stage('Prepare') {
            sh 'npm ci'
        }
        try {
            stage('Start the target') {
                // Else Jenkins ends what the step leaves running in the background.
                withEnv(['JENKINS_NODE_COOKIE=dontKillMe']) {
                    sh 'docker compose --file deploy/compose.yml up --detach --wait'
                }
            }
            stage('Record') {
                fastRecording(targetUri: 'http://localhost:3000', testRunPolicyId: 'deploy/fast policy.yml', allowedHosts: '~^shop\\.(test|local)$', testRunStopOnFirstFail: 'true', buildId: 'auto') {
                    sh '''\
cd shop && npm test -- --reporter=\'dot\'
echo "all done"
'''
                }
            }
            stage('Test') {
                fastTesting(targetUri: 'http://localhost:3000', testRunPolicyId: 'deploy/fast policy.yml', allowedHosts: '~^shop\\.(test|local)$', testRunStopOnFirstFail: 'true', buildId: 'auto')
            }
        } finally {
            sh 'docker compose --file deploy/compose.yml down --volumes'
        }
    }
}
