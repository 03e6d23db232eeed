"""Let the model call a Python function, and send it the result."""

import reactivex as rx
from reactivex import operators as ops

from rxresponses import FunctionTool, ResponseCreate, ResponseFunctionToolCall, ResponsesWebSocket, answer_calls
from rxresponses import operators as rops
from rxresponses.testing import url_or_embedded_server

WEATHER = FunctionTool(
    name="get_weather",
    description="The weather in a city, now.",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Lisbon", "Oslo"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
    strict=True,
)


def get_weather(city: str) -> dict[str, object]:
    return {"city": city, "celsius": 21, "sky": "clear"}


def main() -> None:
    with url_or_embedded_server() as url, ResponsesWebSocket(url) as socket:
        question = ResponseCreate(
            model="gpt-5.2",
            input="What is the weather in Lisbon?",
            tools=[WEATHER],
            tool_choice={"type": "function", "name": "get_weather"},
        )
        response = socket.send_request(question).pipe(rops.final_response()).run()
        calls = [item for item in response.output if isinstance(item, ResponseFunctionToolCall)]
        for call in calls:
            print(f"the model calls {call.name}({call.arguments})")

        # By default, an exception of the function goes to the model as its output.
        outputs = rx.from_iterable(calls).pipe(answer_calls({"get_weather": get_weather}), ops.to_list()).run()
        answer = ResponseCreate(
            model="gpt-5.2",
            previous_response_id=response.id,  # the server has the question, so only the new items are sent
            input=outputs,
            tools=[WEATHER],
        )
        print(socket.send_request(answer).pipe(rops.collect_text()).run())


if __name__ == "__main__":
    main()
