const timer = setInterval(() => console.log('working'), 60_000);
process.on('SIGTERM', () => clearInterval(timer));
