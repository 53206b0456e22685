// Serves dynalite on a free port of the loopback interface, writes the port, and
// ends when its standard input does: with the test that started it.
const server = require('dynalite')({ createTableMs: 50 })
// Node.js closes connections that were idle for five seconds, all at once: a client that
// rests for as long finds one after the other closed under its requests.
server.keepAliveTimeout = 0
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
process.stdin.on('end', () => process.exit()).resume()
