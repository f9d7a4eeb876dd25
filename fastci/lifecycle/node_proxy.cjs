'use strict'
// Node before 22.21 and 24.5 heeds no proxy variable: neither fetch nor http.request. Loaded by NODE_OPTIONS, this
// leads what has no proxy of its own through HTTP_PROXY and HTTPS_PROXY, as NODE_USE_ENV_PROXY does in newer ones.
const url = process.env.FAST_PROXY
if (url && !process.allowedNodeEnvironmentFlags.has('--use-env-proxy')) {
  const http = require('node:http')
  const https = require('node:https')
  const net = require('node:net')
  const tls = require('node:tls')
  const proxy = new URL(url)
  const proxyHost = proxy.hostname.replace(/^\[|\]$/g, '')
  const proxyPort = Number(proxy.port || 80)
  const past = (process.env.NO_PROXY || process.env.no_proxy || '').toLowerCase().split(/[\s,]+/).filter(Boolean)

  const goesPast = (host, port) => {
    const name = host.toLowerCase().replace(/^\[|\]$/g, '')
    if (name === proxyHost && Number(port) === proxyPort) return true
    return past.some((entry) => {
      if (entry === '*') return true
      const bare = entry.replace(/^\*?\.?/, '').replace(/^\[|\]$/g, '')
      return name === bare || `${name}:${port}` === bare || name.endsWith(`.${bare}`)
    })
  }

  // CONNECT for plain HTTP too: the recorder finds out by itself what is spoken inside.
  const tunnel = (host, port, done) => {
    const authority = net.isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`
    const credentials = decodeURIComponent(proxy.username) + ':' + decodeURIComponent(proxy.password)
    const own = proxy.username ? `Proxy-Authorization: Basic ${Buffer.from(credentials).toString('base64')}\r\n` : ''
    const socket = net.connect(proxyPort, proxyHost)
    let head = Buffer.alloc(0)
    const fail = (error) => { socket.destroy(); done(error) }
    const read = () => {
      let piece
      while ((piece = socket.read()) !== null) {
        head = Buffer.concat([head, piece])
        const end = head.indexOf('\r\n\r\n')
        if (end < 0) continue
        socket.removeListener('readable', read)
        socket.removeListener('error', fail)
        socket.removeListener('end', ended)
        const line = head.toString('latin1').split('\r\n', 1)[0]
        if (!/^HTTP\/1\.\d 200/.test(line)) return fail(new Error(`the proxy opens no way to ${authority}: ${line}`))
        if (head.length > end + 4) socket.unshift(head.subarray(end + 4))
        return done(null, socket)
      }
    }
    const ended = () => fail(new Error(`the proxy opens no way to ${authority}`))
    socket.on('readable', read).once('error', fail).once('end', ended)
    socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${own}\r\n`)
  }

  // The host stays: where it is an address it is what the certificate is checked against.
  const secured = (socket, options) => tls.connect({
    ...options, socket, port: undefined, path: undefined, servername: net.isIP(options.servername || '') ? '' : options.servername
  })

  for (const [agent, secure] of [[http.globalAgent, false], [https.globalAgent, true]]) {
    const direct = agent.createConnection
    agent.createConnection = function (options, done) {
      const host = options.host || 'localhost'
      if (options.socketPath || goesPast(host, options.port)) return direct.call(this, options, done)
      tunnel(host, options.port, (error, socket) => {
        if (error) done(error)
        else done(null, secure ? secured(socket, options) : socket)
      })
    }
  }

  // Naming Headers makes Node load its fetch, which leaves its dispatcher under this symbol.
  void globalThis.Headers
  const symbol = Symbol.for('undici.globalDispatcher.1')
  const Agent = globalThis[symbol] && globalThis[symbol].constructor
  if (Agent) {
    const connect = (options, done) => {
      const secure = options.protocol === 'https:'
      const host = options.hostname.replace(/^\[|\]$/g, '')
      const port = Number(options.port || (secure ? 443 : 80))
      const servername = options.servername || (net.isIP(host) ? '' : host)
      const finish = (socket) => {
        const ready = secure ? tls.connect({ socket, host, servername, ALPNProtocols: ['http/1.1'] }) : socket
        const failed = (error) => done(error)
        ready.once('error', failed)
        const up = () => { ready.removeListener('error', failed); ready.setNoDelay(true); done(null, ready) }
        if (secure) ready.once('secureConnect', up)
        else up()
      }
      if (goesPast(host, port)) {
        const socket = net.connect(port, host)
        socket.once('error', done).once('connect', () => { socket.removeListener('error', done); finish(socket) })
      } else {
        tunnel(host, port, (error, socket) => (error ? done(error) : finish(socket)))
      }
    }
    globalThis[symbol] = new Agent({ connect })
  }
}
