const { createServer } = require('node:http');
const { parseArgs } = require('node:util');

const { values } = parseArgs({ options: { port: { type: 'string', default: '3000' } } });
const server = createServer((request, response) => response.end('procfile\n'));
server.listen(Number(values.port));
process.on('SIGTERM', () => server.close());
