"""The same work as an Azure Functions app, with all of its request and answer converted."""

import json

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="score", methods=["POST"])
def score(req: func.HttpRequest) -> func.HttpResponse:
    """Sum the request's numbers, in a thread."""
    return func.HttpResponse(json.dumps(sum(req.get_json()["data"])), mimetype="application/json")


@app.route(route="score_async", methods=["POST"])
async def score_async(req: func.HttpRequest) -> func.HttpResponse:
    """Sum the request's numbers, on the loop."""
    return func.HttpResponse(json.dumps(sum(req.get_json()["data"])), mimetype="application/json")
