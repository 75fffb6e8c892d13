//! A way to a server that can be cut and mended.

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passes connections on, until it is cut.
pub struct Proxy {
    open: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A way to the server of this URL, and the URL that goes through it.
    pub async fn to(url: &str) -> (Self, String) {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, server) = place.rsplit_once('@').map_or(("", place), |(login, server)| (login, server));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let at = if login.is_empty() { "" } else { "@" };
        let through = format!("{scheme}://{login}{at}{address}/{path}");
        let (open, opened) = watch::channel(true);
        let server = server.to_owned();
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (server, mut opened) = (server.clone(), opened.clone());
                tokio::spawn(async move {
                    let pass = async {
                        let mut upstream = TcpStream::connect(server).await?;
                        tokio::io::copy_bidirectional(&mut client, &mut upstream).await
                    };
                    tokio::select! {
                        _ = pass => {}
                        _ = opened.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        (Self { open, task }, through)
    }

    /// Ends every connection, and those that come.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Lets connections pass again.
    pub fn mend(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
