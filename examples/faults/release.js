// A release command that fails, as a broken migration would: two lines of output, then exit code 3.
console.log("migrating: adding column total to table orders");
console.error('migrating: column "total" of relation "orders" already exists');
process.exitCode = 3;
