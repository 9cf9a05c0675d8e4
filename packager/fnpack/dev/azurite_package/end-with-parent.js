// Ends this process when its standard input closes: whoever started it is gone, however it went.
"use strict";
process.stdin.on("error", end).on("end", end).resume();
process.stdin.unref(); // it alone keeps nothing running

function end() {
  process.kill(process.pid, "SIGTERM");
  setTimeout(() => process.exit(1), 5000).unref();
}
