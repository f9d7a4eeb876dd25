/** Puts `fastci` into the workspace of this agent, once for each release, and returns its path. */
String call(String source) {
    withEnv(["FASTCI_PACKAGE=${source ?: 'fast-action @ https://github.com/org/fast-action/archive/refs/tags/v1.tar.gz'}"]) {
        sh label: 'FAST: install', script: '''
            [ "$(cat .fast/venv/installed 2>&1)" = "$FASTCI_PACKAGE" ] || {
              echo "installing fastci in .fast/venv"
              rm -rf .fast/venv
              python3 -m venv .fast/venv
              .fast/venv/bin/pip install --quiet --disable-pip-version-check "$FASTCI_PACKAGE"
              echo "$FASTCI_PACKAGE" >.fast/venv/installed
            }
        '''
    }
    return "${pwd()}/.fast/venv/bin/fastci"
}
