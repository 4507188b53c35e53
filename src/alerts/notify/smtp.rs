//! Posts mail. The server's name is resolved here and one of its admitted addresses is dialled, with the name left to the certificate.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::{ContentType, MessageId};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use super::Mail;
use super::courier::Outcome;
use super::guard::Guard;
use crate::model::receiver::{Smtp, SmtpTls};

/// Hands a mail to its server.
pub(super) async fn send(guard: &Guard, mail: &Mail, deadline: Duration) -> Outcome {
    let message = match message(mail) {
        Ok(message) => message,
        Err(words) => return Outcome::failed(words),
    };
    let to = match guard.read_mail(&mail.smtp.host, mail.smtp.port) {
        Ok(to) => to,
        Err(refused) => return Outcome::failed(refused.to_string()),
    };
    let address = match guard.resolve(&to).await {
        Ok(addresses) => addresses.first().map(|address| address.ip().to_string()).unwrap_or_default(),
        Err(refused) => return Outcome::failed(refused.to_string()),
    };
    let transport = match transport(&mail.smtp, &address, &to.host, deadline) {
        Ok(transport) => transport,
        Err(words) => return Outcome::failed(words),
    };
    match transport.send(message).await {
        Ok(response) => Outcome::delivered(response.code().into(), response.message().collect::<Vec<_>>().join("\n")),
        Err(error) => {
            let said = error.to_string();
            match error.status() {
                Some(code) => Outcome::refused(code.into(), said.clone(), format!("the mail server refused: {said}")),
                None if error.is_timeout() => Outcome::lost(format!("no answer within {} s", deadline.as_secs())),
                None => Outcome::lost(format!("the mail server was not reached, or broke off: {said}")),
            }
        }
    }
}

fn transport(smtp: &Smtp, address: &str, name: &str, deadline: Duration) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let parameters = || TlsParameters::new(name.to_owned()).map_err(|error| format!("TLS cannot be used: {error}"));
    let tls = match smtp.tls {
        SmtpTls::Starttls => Tls::Required(parameters()?),
        SmtpTls::Tls => Tls::Wrapper(parameters()?),
        SmtpTls::None => Tls::None,
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address).port(smtp.port).tls(tls).timeout(Some(deadline));
    if let (Some(username), Some(password), true) = (&smtp.username, &smtp.password, smtp.tls != SmtpTls::None) {
        builder = builder.credentials(Credentials::new(username.clone(), password.expose().to_owned()));
    }
    Ok(builder.build())
}

fn message(mail: &Mail) -> Result<Message, String> {
    let mailbox = |text: &str| text.parse::<Mailbox>().map_err(|_| format!("{text} is no mail address"));
    let mut builder = Message::builder()
        .from(mailbox(&mail.smtp.from)?)
        .subject(mail.subject.clone())
        .header(ContentType::TEXT_PLAIN)
        .header(MessageId::from(mail.message_id.clone()));
    for to in &mail.smtp.to {
        builder = builder.to(mailbox(to)?);
    }
    builder.body(mail.text.clone()).map_err(|error| format!("the mail cannot be written: {error}"))
}

/// Whether a text is a mail address, with or without a name before it.
pub(super) fn is_mail_address(text: &str) -> bool {
    text.len() <= 320 && text.parse::<Mailbox>().is_ok()
}
