//! What can be checked of the containers' files without running them: they say what the settings and the code say.

use gencharge::config::{Config, SETTINGS};
use gencharge::platform::bus::rabbit::Rabbit;
use serde_json::Value;

const COMPOSE: &str = include_str!("../docker-compose.yml");
const DOCKERFILE: &str = include_str!("../Dockerfile");

fn compose() -> Value {
    serde_yaml_ng::from_str(COMPOSE).unwrap()
}

fn environment(service: &Value) -> Vec<(String, String)> {
    let pairs = service["environment"].as_object().unwrap().iter();
    pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

#[test]
fn the_applications_settings_exist_and_can_be_used_together() {
    let file = compose();
    let given = environment(&file["services"]["app"]);
    for (name, _) in &given {
        assert!(SETTINGS.iter().any(|setting| setting.name == name), "{name} is no setting");
    }
    let image = DOCKERFILE.lines().find_map(|line| line.strip_prefix("ENV ")).unwrap();
    let image = image.split_whitespace().map(|pair| pair.split_once('=').unwrap());
    let all = image.map(|(name, value)| (name.to_owned(), value.to_owned())).chain(given);
    let config = Config::from_map(all).unwrap();
    let url = config.services.amqp_url.unwrap();
    let rabbit = Rabbit::new(&url, &config.services.amqp_prefix).unwrap();
    let definitions: Value = serde_json::from_str(include_str!("../rabbitmq/definitions.json")).unwrap();
    assert_eq!(definitions["users"][0]["name"], rabbit.user(), "the broker knows the application's user");
    assert_eq!(definitions["permissions"][0]["user"], rabbit.user());
}

#[test]
fn every_service_is_reached_by_its_name_has_a_health_check_and_keeps_its_data() {
    let file = compose();
    let services = file["services"].as_object().unwrap();
    let app = &services["app"];
    for (setting, service, port) in [
        ("DATABASE_URL", "postgres", 5432),
        ("MONGODB_URL", "mongo", 27017),
        ("REDIS_URL", "redis", 6379),
        ("AMQP_URL", "rabbitmq", 5672),
    ] {
        let url = app["environment"][setting].as_str().unwrap();
        assert!(url.contains(&format!("{service}:{port}")), "{setting} does not lead to {service}");
        assert_eq!(app["depends_on"][service]["condition"], "service_healthy");
        assert!(services[service]["healthcheck"]["test"].is_array(), "{service}");
    }
    for (name, service) in services {
        let volumes = service["volumes"].as_array().unwrap_or_else(|| panic!("{name} keeps nothing"));
        let named = volumes.iter().filter_map(|volume| volume.as_str()?.split(':').next());
        assert!(
            named
                .filter(|source| !source.starts_with('.'))
                .all(|source| file["volumes"].get(source).is_some())
        );
        for mounted in volumes.iter().filter_map(|volume| volume.as_str()?.strip_prefix("./")) {
            let path = mounted.split(':').next().unwrap();
            assert!(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path).is_file(), "{path}");
        }
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name} is open to the network");
        }
    }
}

#[test]
fn the_image_runs_without_rights_on_the_port_that_it_names() {
    let lines: Vec<_> = DOCKERFILE.lines().collect();
    let last_user = lines.iter().rev().find_map(|line| line.strip_prefix("USER ")).unwrap();
    assert_ne!(last_user, "root");
    let port = lines.iter().find_map(|line| line.strip_prefix("EXPOSE ")).unwrap();
    assert!(DOCKERFILE.contains(&format!("GENCHARGE_BIND=0.0.0.0:{port}")));
    assert!(DOCKERFILE.contains(&format!("http://127.0.0.1:{port}/readyz")));
    assert!(COMPOSE.contains(&format!(":{port}\"")));
    let rust = env!("CARGO_PKG_RUST_VERSION");
    assert!(DOCKERFILE.contains(&format!("FROM rust:{rust}-")), "the compiler that Cargo.toml asks for");
}
