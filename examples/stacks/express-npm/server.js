const express = require('express');

const app = express();
app.get('/', (request, response) => response.send('express\n'));
const server = app.listen(process.env.PORT || 3000);
process.on('SIGTERM', () => server.close());
