/** What every step of FAST has around it: the variables, the token from the credentials, the path of `fastci`. */
void call(Map given, List<String> own, Closure body) {
    List<String> variables = fastSettings(given, own + ['credentialsId', 'tool'])
    // By its path: on the PATH the Python beside it would stand in front of the one of the tests.
    withEnv(variables + ["FASTCI=${fastTool(given.tool as String)}"]) {
        if (given.credentialsId) {
            withCredentials([string(credentialsId: given.credentialsId, variable: 'WALLARM_API_TOKEN')]) {
                body()
            }
        } else {
            body()
        }
    }
}
