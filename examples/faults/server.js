// Starts one behaviour, named by the first argument or by BEHAVIOUR. Each one is a file in src/behaviours/ with one
// function, `start(port)`. The tests are in server.test.js.
const BEHAVIOURS = [
  "well-behaved",
  "dies-at-once",
  "slow-start",
  "never-healthy",
  "error-500",
  "accepts-never-answers",
  "streams",
  "failing-release",
];

const name = process.argv[2] ?? process.env.BEHAVIOUR ?? "well-behaved";
const port = Number(process.env.PORT ?? 3000);

if (!BEHAVIOURS.includes(name)) {
  console.error(`unknown behaviour "${name}"; choose one of: ${BEHAVIOURS.join(", ")}`);
  process.exit(2);
}
const { start } = await import(`./src/behaviours/${name}.js`);
start(port);
