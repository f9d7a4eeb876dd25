// FAST: the functional tests are recorded and replayed as attacks; a proven vulnerability fails the build.
// Needs the shared library "fast-action" (Manage Jenkins, System, Global Trusted Pipeline Libraries) and, on the agent,
// Python 3.11 or newer with venv.
@Library('fast-action@v1') _

timeout(time: 1, unit: 'HOURS') {
    stage('Record') {
        node {
            checkout scm
            try {
                sh 'npm ci'
                // Else Jenkins ends what the step leaves running in the background.
                withEnv(['JENKINS_NODE_COOKIE=dontKillMe']) {
                    sh 'docker compose --file deploy/compose.yml up --detach --wait'
                }
                fastRecording(targetUri: 'http://localhost:3000', testRunPolicyId: 'deploy/fast policy.yml', allowedHosts: '~^shop\\.(test|local)$', testRunStopOnFirstFail: 'true', buildId: 'auto') {
                    sh '''\
cd shop && npm test -- --reporter=\'dot\'
echo "all done"
'''
                }
                // A record holds the cookies and tokens of the tests: a stash goes with the build.
                stash name: 'fast-record', includes: '.fast/records/**'
            } finally {
                sh 'docker compose --file deploy/compose.yml down --volumes'
            }
        }
    }
    stage('Test') {
        node {
            checkout scm
            try {
                unstash 'fast-record'
                sh 'npm ci'
                // Else Jenkins ends what the step leaves running in the background.
                withEnv(['JENKINS_NODE_COOKIE=dontKillMe']) {
                    sh 'docker compose --file deploy/compose.yml up --detach --wait'
                }
                fastTesting(targetUri: 'http://localhost:3000', testRunPolicyId: 'deploy/fast policy.yml', allowedHosts: '~^shop\\.(test|local)$', testRunStopOnFirstFail: 'true', buildId: 'auto')
            } finally {
                sh 'docker compose --file deploy/compose.yml down --volumes'
            }
        }
    }
}
