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
        parallel(
            failFast: false,
            'Test 1/2': {
                node {
                    checkout scm
                    try {
                        unstash 'fast-record'
                        sh 'npm ci'
                        // Else Jenkins ends what the step leaves running in the background.
                        withEnv(['JENKINS_NODE_COOKIE=dontKillMe']) {
                            sh 'docker compose --file deploy/compose.yml up --detach --wait'
                        }
                        // What an earlier build left in this workspace.
                        sh 'rm -rf .fast/runs'
                        // Findings are judged where all of them are known.
                        fastTesting(targetUri: 'http://localhost:3000', testRunPolicyId: 'deploy/fast policy.yml', allowedHosts: '~^shop\\.(test|local)$', testRunStopOnFirstFail: 'true', buildId: 'auto', shard: '1/2', failOn: 'never')
                        stash name: 'fast-runs-1', includes: '.fast/runs/**'
                    } finally {
                        sh 'docker compose --file deploy/compose.yml down --volumes'
                    }
                }
            },
            'Test 2/2': {
                node {
                    checkout scm
                    try {
                        unstash 'fast-record'
                        sh 'npm ci'
                        // Else Jenkins ends what the step leaves running in the background.
                        withEnv(['JENKINS_NODE_COOKIE=dontKillMe']) {
                            sh 'docker compose --file deploy/compose.yml up --detach --wait'
                        }
                        // What an earlier build left in this workspace.
                        sh 'rm -rf .fast/runs'
                        // Findings are judged where all of them are known.
                        fastTesting(targetUri: 'http://localhost:3000', testRunPolicyId: 'deploy/fast policy.yml', allowedHosts: '~^shop\\.(test|local)$', testRunStopOnFirstFail: 'true', buildId: 'auto', shard: '2/2', failOn: 'never')
                        stash name: 'fast-runs-2', includes: '.fast/runs/**'
                    } finally {
                        sh 'docker compose --file deploy/compose.yml down --volumes'
                    }
                }
            }
        )
    }
    stage('Verdict') {
        node {
            checkout scm
            sh 'rm -rf .fast/runs'
            unstash 'fast-runs-1'
            unstash 'fast-runs-2'
            fastTesting(targetUri: 'http://localhost:3000', testRunPolicyId: 'deploy/fast policy.yml', allowedHosts: '~^shop\\.(test|local)$', testRunStopOnFirstFail: 'true', buildId: 'auto', merge: true)
        }
    }
}
