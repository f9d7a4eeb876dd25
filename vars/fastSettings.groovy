// generated from fastci/config.py by `fastci generate docs`; do not edit

/**
 * The variables that these keys stand for, as NAME=value for withEnv. A key that is not known ends the build.
 * `own` names the keys that the calling step reads itself.
 */
List<String> call(Map given, List<String> own) {
    Map<String, String> names = [
        wallarmApiHost: 'WALLARM_API_HOST',
        wallarmApiUseSsl: 'WALLARM_API_USE_SSL',
        wallarmApiCaVerify: 'WALLARM_API_CA_VERIFY',
        testRecordName: 'TEST_RECORD_NAME',
        inactivityTimeout: 'INACTIVITY_TIMEOUT',
        allowedHosts: 'ALLOWED_HOSTS',
        buildId: 'BUILD_ID',
        testRecordId: 'TEST_RECORD_ID',
        testRunName: 'TEST_RUN_NAME',
        testRunDesc: 'TEST_RUN_DESC',
        testRunPolicyId: 'TEST_RUN_POLICY_ID',
        testRunRps: 'TEST_RUN_RPS',
        testRunStopOnFirstFail: 'TEST_RUN_STOP_ON_FIRST_FAIL',
        testRunUri: 'TEST_RUN_URI',
        fileExtensionsToExclude: 'FILE_EXTENSIONS_TO_EXCLUDE',
        workers: 'WORKERS',
        processes: 'PROCESSES',
        shard: 'FAST_SHARD',
        testRunId: 'TEST_RUN_ID',
        gitExtensions: 'GIT_EXTENSIONS',
        backendHttpsPorts: 'BACKEND_HTTPS_PORTS',
        caCert: 'CA_CERT',
        caKey: 'CA_KEY',
        testRunBudget: 'TEST_RUN_BUDGET',
        runTimeout: 'FAST_RUN_TIMEOUT',
        resume: 'FAST_RESUME',
        requestTimeout: 'FAST_REQUEST_TIMEOUT',
        progressEvery: 'FAST_PROGRESS_EVERY',
        skipDuplicates: 'FAST_SKIP_DUPLICATES',
        baselineRps: 'FAST_BASELINE_RPS',
        seed: 'FAST_SEED',
        storeLease: 'FAST_STORE_LEASE',
        reports: 'FAST_REPORTS',
        extensions: 'FAST_EXTENSIONS',
        policies: 'FAST_POLICIES',
        auths: 'FAST_AUTHS',
        loginCommand: 'FAST_LOGIN_COMMAND',
        maxBody: 'FAST_MAX_BODY',
        tunnelHosts: 'FAST_TUNNEL_HOSTS',
        handOut: 'FAST_HAND_OUT',
        linkLocal: 'FAST_LINK_LOCAL',
        targetCa: 'FAST_TARGET_CA',
        targetCert: 'FAST_TARGET_CERT',
        noProxy: 'FAST_NO_PROXY',
        publicTargets: 'FAST_PUBLIC_TARGETS',
        oob: 'FAST_OOB',
        oobDomain: 'FAST_OOB_DOMAIN',
        oobAddress: 'FAST_OOB_ADDRESS',
        oobListenHttp: 'FAST_OOB_LISTEN_HTTP',
        oobListenDns: 'FAST_OOB_LISTEN_DNS',
        oobServer: 'FAST_OOB_SERVER',
        oobSources: 'FAST_OOB_SOURCES',
        oobWait: 'FAST_OOB_WAIT',
        xssBrowser: 'FAST_XSS_BROWSER',
        exitCodes: 'FAST_EXIT_CODES',
        minBaselines: 'MIN_BASELINES',
        failOn: 'FAST_FAIL_ON',
        failConfidence: 'FAST_FAIL_CONFIDENCE',
        failNewOnly: 'FAST_FAIL_NEW_ONLY',
        failOnErrors: 'FAST_FAIL_ON_ERRORS',
        failIncomplete: 'FAST_FAIL_INCOMPLETE',
        minCoverage: 'FAST_MIN_COVERAGE',
        knownFindings: 'FAST_KNOWN_FINDINGS',
        compareWith: 'FAST_COMPARE_WITH',
        targetUri: 'TARGET_URI',
        testResults: 'FAST_TEST_RESULTS',
        runtime: 'FAST_RUNTIME',
        image: 'FAST_IMAGE',
        baseImage: 'FAST_BASE_IMAGE',
        network: 'FAST_NETWORK',
        memory: 'FAST_MEMORY',
        port: 'FAST_PORT',
        workspace: 'FAST_WORKSPACE',
        testOnFailure: 'FAST_TEST_ON_FAILURE',
        comment: 'FAST_COMMENT',
        uploadSarif: 'FAST_UPLOAD_SARIF',
        startTimeout: 'FAST_START_TIMEOUT',
        stopTimeout: 'FAST_STOP_TIMEOUT',
        deadline: 'FAST_DEADLINE',
    ]
    // The fields of the plugin for wallarm/fast, where ours are called differently.
    Map<String, String> former = [
        policyId: 'TEST_RUN_POLICY_ID',
        stopOnFirstFail: 'TEST_RUN_STOP_ON_FIRST_FAIL',
        exclude: 'FILE_EXTENSIONS_TO_EXCLUDE',
        fastPort: 'FAST_PORT',
        localDockerNetwork: 'FAST_NETWORK',
    ]
    // Other fields of it: put together below, or without a meaning here.
    List<String> composed = ['appHost', 'appPort', 'wallarmVersion']
    List<String> needless = ['fastName', 'withoutSudo', 'localDockerIp', 'record']
    List<String> variables = []
    List<String> unknown = []
    for (String key in given.keySet()) {
        String name = names[key] ?: former[key]
        if (name) {
            if (given[key] != null) {
                variables.add(name + '=' + given[key])
            }
        } else if (needless.contains(key)) {
            echo("FAST: ${key} is a field of the plugin for wallarm/fast and not needed here")
        } else if (!own.contains(key) && !composed.contains(key)) {
            String near = nearest(key, own + composed + (names.keySet() as List) + (former.keySet() as List))
            unknown.add(near ? "${key} (did you mean ${near}?)".toString() : key)
        }
    }
    if (unknown) {
        error("FAST: unknown keys: ${unknown.join(', ')}. Known are: ${(own + names.keySet()).join(', ')}")
    }
    if (given.appHost) {
        variables.add('TARGET_URI=http://' + given.appHost + ':' + (given.appPort ?: '8080'))
    }
    if (given.wallarmVersion) {
        variables.add('FAST_IMAGE=wallarm/fast:' + given.wallarmVersion)
    }
    return variables
}

/** The known key that a wrong one is nearest to, if it is near at all. */
private String nearest(String wrong, List<String> known) {
    String best = ''
    int least = Math.max(2, wrong.length().intdiv(3)) + 1
    for (String key in known) {
        int steps = distance(wrong.toLowerCase(), key.toLowerCase())
        if (steps < least) {
            least = steps
            best = key
        }
    }
    return best
}

/** How many letters must change, come or go to make one word of the other (Levenshtein). */
private int distance(String one, String other) {
    List<Integer> row = []
    for (int column = 0; column <= other.length(); column++) {
        row.add(column)
    }
    for (int line = 1; line <= one.length(); line++) {
        int corner = row[0]
        row[0] = line
        for (int column = 1; column <= other.length(); column++) {
            int change = corner + (one.charAt(line - 1) == other.charAt(column - 1) ? 0 : 1)
            corner = row[column]
            row[column] = Math.min(change, Math.min(corner, row[column - 1]) + 1)
        }
    }
    return row[other.length()]
}
