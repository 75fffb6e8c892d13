//! PostgreSQL that cannot be reached: 503 with a time to wait, nothing done, and no help needed afterwards.

use std::time::Duration;

use gencharge::platform::postgres::Database;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

use crate::support::app::with_app;
use crate::support::eventually;
use crate::support::money::{ASHA, TOP_UP};

const PATIENCE: Duration = Duration::from_secs(20);

/// Passes connections on while it is up; drops and refuses them while it is down.
struct Proxy {
    port: u16,
    up: watch::Sender<bool>,
}

impl Proxy {
    /// Before the server of `options`, which listens on a port or on a socket file.
    async fn to(options: &PgConnectOptions) -> Proxy {
        let (host, port) = (options.get_host().to_owned(), options.get_port());
        let socket = options.get_socket().map(|folder| folder.join(format!(".s.PGSQL.{port}")));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (up, state) = watch::channel(true);
        actix_web::rt::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (mut state, host, socket) = (state.clone(), host.clone(), socket.clone());
                if *state.borrow() {
                    actix_web::rt::spawn(async move {
                        let passed = async {
                            if let Some(socket) = socket {
                                let mut server = UnixStream::connect(socket).await?;
                                copy_bidirectional(&mut client, &mut server).await
                            } else {
                                let mut server = TcpStream::connect((host, port)).await?;
                                copy_bidirectional(&mut client, &mut server).await
                            }
                        };
                        tokio::select! {
                            _ = passed => {}
                            _ = state.wait_for(|up| !up) => {}
                        }
                    });
                }
            }
        });
        Proxy { port: own, up }
    }
}

#[test]
fn orders_are_refused_and_taken_again_by_themselves() {
    with_app(async |app| {
        let options = app.pool.connect_options().as_ref().clone();
        let proxy = Proxy::to(&options).await;
        let through = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(proxy.port)
            .username(options.get_username())
            .database(options.get_database().unwrap());
        let database = Database::connect(through, 4).await.unwrap();
        let behind = app.start_another_on(database.pool().clone()).await;
        let base = format!("http://{}", behind.addr);
        let (top_up, me) = (format!("{base}{TOP_UP}"), format!("{base}/user/me"));
        let token = app.sign_in(ASHA).await.access;
        let body = json!({ "amount": 1, "payment_method": "UPI" });
        for round in 0..2 {
            app.order(&top_up, &token, &format!("before-{round}"), &body).await.ok();
            proxy.up.send(false).unwrap();
            let key = format!("during-{round}");
            let refused = app.order(&top_up, &token, &key, &body).await;
            assert_eq!(refused.status, 503, "{refused:?}");
            assert!(["unavailable", "outcome_unknown"].contains(&refused.problem()), "{refused:?}");
            assert_eq!(refused.headers["retry-after"], "1");
            let read = app.get(&me, &token).await;
            assert_eq!((read.status, read.problem()), (503, "unavailable"));
            // The other application is not concerned.
            app.get("/user/me", &token).await.ok();
            assert_eq!(app.balance(ASHA).await, 100 + 200 * round);
            proxy.up.send(true).unwrap();
            let done = eventually("an application that works again", PATIENCE, async || {
                let answer = app.order(&top_up, &token, &key, &body).await;
                (answer.status == 200).then_some(answer)
            })
            .await;
            assert!(!done.replayed());
            app.get(&me, &token).await.ok();
            assert_eq!(app.balance(ASHA).await, 200 + 200 * round);
        }
        assert!(behind.stop().await);
        database.close().await;
        app.verify().await;
    });
}
