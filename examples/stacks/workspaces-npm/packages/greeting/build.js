const { cpSync } = require('node:fs');

// Stands for a compiler.
cpSync(`${__dirname}/src`, `${__dirname}/lib`, { recursive: true });
