//! The ways to the outside: which channel stands behind each, and the actors that work on them.

use std::sync::Arc;

use gencharge_actors::notification::channel::{
    Channel, ChannelActor, ChannelParts, ChannelSettings, CodesActor, CodesOut,
};
use gencharge_actors::notification::{Channels, Hub, Reminders};
use gencharge_actors::runtime::{Spec, Stage, Universe};

use super::{Parts, StartError};
use crate::notifications::channels::{FileChannel, HttpSms, SmtpEmail};
use crate::notifications::{PgDeliveries, PgPeople, PgReminders};
use crate::platform::data_folder;

/// The channels of this process.
pub struct Ways {
    sms: Arc<dyn Channel>,
    /// None in production without a server.
    email: Option<Arc<dyn Channel>>,
}

/// The channels that the settings ask for.
///
/// # Errors
/// [`StartError::Folder`], [`StartError::Messages`].
pub fn ways(parts: &Parts) -> Result<Ways, StartError> {
    let messages = &parts.config.messages;
    let path = &parts.config.data_dir;
    let folder =
        data_folder::create(path).map_err(|source| StartError::Folder { path: path.clone(), source })?;
    let sms: Arc<dyn Channel> = match &messages.sms_url {
        Some(url) => {
            let sms = HttpSms::new(url.clone(), messages.sms_key.clone(), messages.sms_body.clone());
            Arc::new(sms.map_err(|error| StartError::Messages(error.to_string()))?)
        }
        None => Arc::new(FileChannel(folder.join("sms.log"))),
    };
    let email: Option<Arc<dyn Channel>> = match &messages.smtp_url {
        Some(url) => Some(Arc::new(SmtpEmail::new(url, &messages.email_from).map_err(StartError::Messages)?)),
        None if parts.config.is_production() => None,
        None => Some(Arc::new(FileChannel(folder.join("email.log")))),
    };
    Ok(Ways { sms, email })
}

/// Starts the actors of `ways`, and the one that reminds.
///
/// # Errors
/// An actor cannot be started.
pub fn start(
    universe: &Universe,
    parts: &Parts,
    ways: Ways,
    codes: CodesOut,
    hub: &Hub,
) -> Result<(), StartError> {
    let sms = Arc::clone(&ways.sms);
    universe.supervise(Spec::new("codes").stage(Stage::Sink), move |probe| {
        CodesActor::new(Arc::clone(&sms), codes.clone(), probe)
    })?;
    let settings = |name, kind| ChannelSettings {
        name,
        kind,
        per_second: parts.config.messages.per_second,
        language: parts.config.messages.language,
    };
    let ways =
        [(settings("sms", Channels::SMS), Some(ways.sms)), (settings("email", Channels::EMAIL), ways.email)];
    for (settings, channel) in ways {
        let Some(channel) = channel else { continue };
        let parts = ChannelParts {
            channel,
            notices: Arc::clone(hub.store()),
            deliveries: Arc::new(PgDeliveries::new(parts.pool.clone())),
            people: Arc::new(PgPeople::new(parts.pool.clone())),
            clock: Arc::clone(&parts.clock),
            random: Arc::clone(&parts.random),
        };
        let spec = Spec::new(format!("messages-{}", settings.name)).stage(Stage::Sink);
        universe.supervise(spec, move |probe| ChannelActor::new(settings, parts.clone(), probe))?;
    }
    let (pool, clock) = (parts.pool.clone(), Arc::clone(&parts.clock));
    universe.supervise(Spec::new("reminders"), move |probe| {
        Reminders::new(PgReminders::new(pool.clone(), Arc::clone(&clock)), probe)
    })?;
    Ok(())
}
