// Fetches the API document beside this page, with the key that the reader gives where one is needed, and shows it.
"use strict";

const form = document.getElementById("key");
const said = document.getElementById("said");

function say(text) {
  said.textContent = text;
  said.hidden = false;
}

async function show(key) {
  said.hidden = true;
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  let answer;
  try {
    answer = await fetch("swagger.json?version=3", { headers });
  } catch (error) {
    return say(`The app does not answer: ${error.message}`);
  }
  if (answer.status === 401) {
    form.hidden = false;
    return key ? say("This key does not open the app.") : undefined;
  }
  if (!answer.ok) {
    return say(`The app has no API document to show: ${await answer.text()}`);
  }
  form.hidden = true;
  const ui = SwaggerUIBundle({
    spec: await answer.json(),
    dom_id: "#api",
    validatorUrl: null, // nothing leaves this page
    docExpansion: "full", // there are three operations
    defaultModelsExpandDepth: 0,
    tryItOutEnabled: true,
    onComplete: () => key && ui.preauthorizeApiKey("Bearer", `Bearer ${key}`),
  });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  show(document.getElementById("given").value);
});
show("");
