import Koa from 'koa';

const app = new Koa();
app.use((context) => {
  context.body = 'koa\n';
});
const server = app.listen(Number(process.env.PORT ?? 3000));
process.on('SIGTERM', () => server.close());
