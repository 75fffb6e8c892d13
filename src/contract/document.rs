//! The AsyncAPI document, seen from the application: it receives commands and sends events.

use gencharge_actors::events::Event;
use gencharge_actors::partner::{COMMANDS, CONTENT_TYPE};
use serde_json::{Map, Value, json};

use super::examples::example;
use super::schema::{command, message_types, payload};

const ABOUT: &str = "Recharges and top-ups by message, their results, and everything else that happens, as CloudEvents 1.0 \
in structured JSON mode. Producers are partners: each is a user of the broker, made known at `POST /partners` with its \
permissions and its own funded wallet. Set `user_id` to that user: the broker refuses another's.\n\n\
Delivery is at least once in both directions. A command's key is (partner, source, id): sent again it has no second effect \
and no second result. Whatever is decided is told once in the partner's queue, with the command's source and id in \
`data.request`; a decision against says the `code` that HTTP would answer. A message that cannot be read, or that its \
sender may not send, is parked for the administrators and not answered. One after `expiresat` is answered with \
`message_expired`, and parked.";

/// Types whose events answer a command.
const RESULTS: [&str; 4] =
    [Event::RECHARGE_COMPLETED, Event::RECHARGE_FAILED, Event::WALLET_TOPPED_UP, Event::TOP_UP_FAILED];

/// The document.
#[must_use]
pub fn document() -> Value {
    let commands: Vec<_> = COMMANDS.iter().map(|kind| kind.name()).collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "GenCharge messages",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": { "broker": {
            "host": "localhost:5672", "protocol": "amqp", "protocolVersion": "0.9.1",
            "description": "RabbitMQ, as AMQP_URL names it",
        } },
        "channels": {
            "commands": channel("gencharge.commands", &commands, exchange("gencharge.commands", "topic"),
                "Partners publish here: any routing key reaches the queue; the type's own is in `x-routing-key`."),
            "events": channel("gencharge.events", Event::TYPES, exchange("gencharge.events", "topic"),
                "Everything that happens, by type as the routing key: bind a queue of your own."),
            "results": results(),
        },
        "operations": {
            "receiveCommands": operation("receive", "commands", &commands, "Does what partners ask for"),
            "sendEvents": operation("send", "events", Event::TYPES, "Tells what has happened"),
            "sendResults": operation("send", "results", &RESULTS, "Tells a partner what came of its command"),
        },
        "components": { "messages": messages() },
    })
}

fn results() -> Value {
    let queue = json!({ "amqp": {
        "is": "queue", "bindingVersion": "0.3.0",
        "queue": { "name": "gencharge.results.{partner}", "durable": true, "exclusive": false, "autoDelete": false, "vhost": "/" },
    } });
    let about = "What came of a partner's commands. The queue is made with the partner, at the latest with the first result.";
    let mut channel = channel("gencharge.results.{partner}", &RESULTS, queue, about);
    if let Some(fields) = channel.as_object_mut() {
        let partner = json!({ "partner": { "description": "The partner's user at the broker" } });
        fields.insert("parameters".to_owned(), partner);
    }
    channel
}

fn exchange(name: &str, kind: &str) -> Value {
    json!({ "amqp": {
        "is": "routingKey", "bindingVersion": "0.3.0",
        "exchange": { "name": name, "type": kind, "durable": true, "autoDelete": false, "vhost": "/" },
    } })
}

fn channel(address: &str, names: &[&str], bindings: Value, description: &str) -> Value {
    let message =
        |name: &&str| ((*name).to_owned(), json!({ "$ref": format!("#/components/messages/{name}") }));
    let messages: Map<_, _> = names.iter().map(message).collect();
    json!({ "address": address, "description": description, "messages": messages, "bindings": bindings })
}

fn operation(action: &str, channel: &str, names: &[&str], summary: &str) -> Value {
    let message = |name: &&str| json!({ "$ref": format!("#/channels/{channel}/messages/{name}") });
    json!({
        "action": action,
        "summary": summary,
        "channel": { "$ref": format!("#/channels/{channel}") },
        "messages": names.iter().map(message).collect::<Vec<_>>(),
    })
}

fn messages() -> Value {
    message_types().map(|name| (name.to_owned(), message(name))).collect::<Map<_, _>>().into()
}

fn message(name: &str) -> Value {
    let payload = payload(name).unwrap_or_default();
    let summary = payload.pointer("/properties/data/description").cloned().unwrap_or_default();
    let mut message = json!({ "name": name, "title": name, "summary": summary, "contentType": CONTENT_TYPE, "payload": payload });
    if let Some(fields) = message.as_object_mut() {
        if let Some(example) = example(name) {
            fields.insert("examples".to_owned(), json!([{ "name": "example", "payload": example }]));
        }
        if let Some(kind) = command(name) {
            fields.insert("x-routing-key".to_owned(), kind.routing_key().into());
        }
    }
    message
}
