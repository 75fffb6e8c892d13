//! The broker's files say what the code says.

use std::collections::BTreeSet;

use gencharge::platform::bus::rabbit::Topology;
use serde_json::Value;

#[test]
fn the_definitions_file_is_what_the_application_declares() {
    let file: Value = serde_json::from_str(include_str!("../../rabbitmq/definitions.json")).unwrap();
    let code = Topology::new("gencharge").definitions("/");
    for kind in ["exchanges", "queues", "bindings"] {
        let set = |value: &Value| -> BTreeSet<String> {
            value[kind].as_array().unwrap().iter().map(ToString::to_string).collect()
        };
        assert_eq!(set(&file), set(&code), "{kind}; the code has {:#}", code[kind]);
    }
    for permission in file["permissions"].as_array().unwrap() {
        assert_eq!(permission["vhost"], "/");
    }
}

#[test]
fn the_configuration_loads_the_definitions_where_the_containers_have_them() {
    let conf = include_str!("../../rabbitmq/rabbitmq.conf");
    let setting = |name: &str| {
        conf.lines()
            .filter_map(|line| line.split_once('='))
            .find(|(key, _)| key.trim() == name)
            .map(|(_, value)| value.trim())
    };
    assert_eq!(setting("load_definitions"), Some("/etc/rabbitmq/definitions.json"));
    assert!(setting("max_message_size").unwrap().parse::<u64>().unwrap() >= 64 * 1024);
}
