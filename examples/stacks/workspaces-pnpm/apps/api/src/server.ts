import { greet } from '@shop/greeting';
import express from 'express';

const app = express();
app.get('/', (_request, response) => {
  response.send(`${greet('pnpm')}\n`);
});
const server = app.listen(Number(process.env.PORT ?? 3000));
process.on('SIGTERM', () => server.close());
