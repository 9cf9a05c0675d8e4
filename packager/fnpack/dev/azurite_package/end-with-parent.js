// Ends this process when its standard input closes: whoever started it is gone, however it went.
"use strict";
process.stdin.on("error", end).on("end", end).resume();

function end() {
  process.kill(process.pid, "SIGTERM");
  setTimeout(() => process.exit(1), 5000);
}
