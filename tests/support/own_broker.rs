//! A RabbitMQ of its own: a node with its own name, ports and folder, that may be killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lapin::{Connection, ConnectionProperties};
use tokio::time::timeout;

use super::eventually;
use super::folder::TempFolder;
use super::process::free_port;

/// How long a node may take to start.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long one that has started may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// A node; it ends with the test.
pub struct OwnBroker {
    folder: TempFolder,
    port: u16,
    distribution: u16,
    node: Option<Child>,
}

impl OwnBroker {
    /// A running node, if RabbitMQ is installed and the broker's tests are asked for.
    pub async fn start(name: &str) -> Option<OwnBroker> {
        if std::env::var_os("GENCHARGE_TEST_AMQP_URL").is_none() || program().is_none() {
            eprintln!("skipped: GENCHARGE_TEST_AMQP_URL is not set, or there is no rabbitmq-server");
            return None;
        }
        let (port, distribution) = (free_port(), free_port());
        let mut broker = OwnBroker { folder: TempFolder::new(name), port, distribution, node: None };
        broker.run().await;
        Some(broker)
    }

    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// Starts the node again.
    pub async fn run(&mut self) {
        let folder = self.folder.path();
        let log = std::fs::File::create(folder.join("console.log")).unwrap();
        std::fs::write(folder.join("plugins"), "[].").unwrap();
        let node = Command::new(program().unwrap())
            .env("RABBITMQ_NODENAME", self.node_name())
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_DIST_PORT", self.distribution.to_string())
            .env("RABBITMQ_MNESIA_BASE", folder.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", folder.join("log"))
            .env("RABBITMQ_PID_FILE", folder.join("pid"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"))
            .env("RABBITMQ_CONFIG_FILE", folder.join("none"))
            .env("HOME", folder)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.node = Some(node);
        eventually("a node that answers", PATIENCE, async || {
            let visit = async {
                let connection = Connection::connect(&self.url(), ConnectionProperties::default()).await?;
                connection.close(200, "done".into()).await
            };
            // While a node starts it may accept a connection and never answer on it.
            timeout(ANSWER, visit).await.ok()?.ok()
        })
        .await;
    }

    /// Has a queue without answers until [`OwnBroker::answers`]: neither confirms nor messages come of it, as when it has no
    /// leader, while the other queues go on.
    pub fn is_mute(&self, queue: &str) {
        self.eval(&format!("sys:suspend('%2F_{queue}')."));
    }

    /// Ends [`OwnBroker::is_mute`].
    pub fn answers(&self, queue: &str) {
        self.eval(&format!("sys:resume('%2F_{queue}')."));
    }

    fn eval(&self, expression: &str) {
        let evaluated = Command::new(program().unwrap().with_file_name("rabbitmqctl"))
            .args(["-n", &self.node_name(), "eval", expression])
            .env("RABBITMQ_MNESIA_BASE", self.folder.path().join("mnesia"))
            .env("RABBITMQ_LOG_BASE", self.folder.path().join("log"))
            .env("HOME", self.folder.path())
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&evaluated.stdout);
        assert!(evaluated.status.success() && said.trim() == "ok", "{expression}: {evaluated:?}");
    }

    fn node_name(&self) -> String {
        format!("gct{}@localhost", self.port)
    }

    /// `kill -9` of everything that the node is.
    pub fn kill(&mut self) {
        if let Some(mut node) = self.node.take() {
            for pid in tree(node.id()) {
                let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
            }
            let _ = node.wait();
        }
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The server itself; Debian's `/usr/sbin` has a wrapper that changes to a user of its own.
fn program() -> Option<PathBuf> {
    [
        "/usr/lib/rabbitmq/bin/rabbitmq-server",
        "/usr/sbin/rabbitmq-server",
        "/opt/rabbitmq/sbin/rabbitmq-server",
    ]
    .into_iter()
    .map(PathBuf::from)
    .find(|path| path.is_file())
}

/// The process and its descendants, children first told.
fn tree(root: u32) -> Vec<u32> {
    let mut all = vec![root];
    let mut index = 0;
    while let Some(&pid) = all.get(index) {
        let path = format!("/proc/{pid}/task/{pid}/children");
        let children = std::fs::read_to_string(Path::new(&path)).unwrap_or_default();
        all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        index += 1;
    }
    all
}
