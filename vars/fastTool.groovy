/** Puts `fastci` into the workspace of this agent, once, and returns its path. */
String call(String source) {
    withEnv(["FASTCI_PACKAGE=${source ?: 'fast-action @ https://github.com/org/fast-action/archive/refs/tags/v1.tar.gz'}"]) {
        sh label: 'FAST: install', script: '''
            [ -x .fast/venv/bin/fastci ] || {
              python3 -m venv .fast/venv
              .fast/venv/bin/pip install --quiet --disable-pip-version-check "$FASTCI_PACKAGE"
            }
        '''
    }
    return "${pwd()}/.fast/venv/bin/fastci"
}
