const { createServer } = require('node:http');
const { greet } = require('@workspaces/greeting');

const server = createServer((request, response) => response.end(`${greet('workspaces')}\n`));
server.listen(process.env.PORT || 3000);
process.on('SIGTERM', () => server.close());
