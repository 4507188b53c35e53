//! Posts mail. The server's name is resolved here and its admitted addresses are dialled, with the name left to the certificate.
//!
//! Until the server was handed the text nothing has arrived, and that is known. An address that the server refuses takes the mail from
//! nobody else; the mail has arrived when every address was accepted, and who has it already is not sent it again by a later attempt,
//! whoever makes that.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lettre::Message;
use lettre::address::Address;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, MessageId};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};

use super::Mail;
use super::courier::Outcome;
use super::guard::Guard;
use crate::model::receiver::{Smtp, SmtpTls};

/// Hands a mail to its server.
pub(super) async fn send(guard: &Guard, mail: &Mail, deadline: Duration) -> Outcome {
    let handed = AtomicBool::new(false);
    let sent = tokio::time::timeout(deadline, hand_over(guard, mail, deadline, &handed)).await;
    sent.unwrap_or_else(|_| {
        let words = format!("no answer within {} s", deadline.as_secs());
        if handed.load(Ordering::Relaxed) { Outcome::lost(words) } else { Outcome::failed(words) }
    })
}

async fn hand_over(guard: &Guard, mail: &Mail, deadline: Duration, handed: &AtomicBool) -> Outcome {
    let message = match message(mail) {
        Ok(message) => message,
        Err(words) => return Outcome::failed(words),
    };
    let have: BTreeSet<String> = mail.had_by.iter().cloned().collect();
    if message.envelope().to().iter().all(|to| have.contains(&to.to_string())) {
        return Outcome::delivered(None, "every address has the mail already".to_owned());
    }
    let to = match guard.read_mail(&mail.smtp.host, mail.smtp.port) {
        Ok(to) => to,
        Err(refused) => return Outcome::failed(refused.to_string()),
    };
    let addresses = match guard.resolve(&to).await {
        Ok(addresses) => addresses,
        Err(refused) => return Outcome::failed(refused.to_string()),
    };
    let mut connection = match connect(&mail.smtp, &addresses, &to.host, deadline).await {
        Ok(connection) => connection,
        Err(outcome) => return outcome,
    };
    let outcome = converse(&mut connection, &message, have, handed).await;
    connection.abort().await;
    outcome
}

/// A connection that is protected as the receiver wants it, and knows who we are.
async fn connect(smtp: &Smtp, addresses: &[SocketAddr], name: &str, deadline: Duration) -> Result<AsyncSmtpConnection, Outcome> {
    let parameters = || TlsParameters::new(name.to_owned()).map_err(|error| Outcome::failed(format!("TLS cannot be used: {error}")));
    let hello = ClientId::default();
    let wrapper = if smtp.tls == SmtpTls::Tls { Some(parameters()?) } else { None };
    let mut last = Outcome::failed("the mail server's name leads nowhere".to_owned());
    for address in addresses {
        let to = (address.ip(), smtp.port);
        match AsyncSmtpConnection::connect_tokio1(to, Some(deadline), &hello, wrapper.clone(), None).await {
            Ok(mut connection) => {
                if smtp.tls == SmtpTls::Starttls {
                    connection.starttls(parameters()?, &hello).await.map_err(|error| unsent(&error))?;
                }
                if let (Some(username), Some(password), true) = (&smtp.username, &smtp.password, smtp.tls != SmtpTls::None) {
                    let credentials = Credentials::new(username.clone(), password.expose().to_owned());
                    connection.auth(DEFAULT_MECHANISMS, &credentials).await.map_err(|error| unsent(&error))?;
                }
                return Ok(connection);
            }
            Err(error) => last = unsent(&error),
        }
    }
    Err(last)
}

/// What went wrong before the server had the text.
fn unsent(error: &Error) -> Outcome {
    match error.status() {
        Some(_) => refused(error),
        None => Outcome::failed(format!("the mail server was not reached, or broke off before it had the mail: {error}")),
    }
}

fn refused(error: &Error) -> Outcome {
    let code = error.status().map_or(0, u16::from);
    Outcome::refused(code, error.to_string(), format!("the mail server refused: {error}"))
}

/// Who sends, who gets it, and the text.
async fn converse(connection: &mut AsyncSmtpConnection, message: &Message, mut have: BTreeSet<String>, handed: &AtomicBool) -> Outcome {
    let bytes = message.formatted();
    let parameters = match parameters(connection, message, &bytes) {
        Ok(parameters) => parameters,
        Err(words) => return Outcome::failed(words),
    };
    if let Err(error) = connection.command(MailFrom::new(message.envelope().from().cloned(), parameters)).await {
        return unsent(&error);
    }
    let (mut accepted, mut refusals) = (BTreeSet::new(), Vec::new());
    let missing: Vec<&Address> = message.envelope().to().iter().filter(|to| !have.contains(&to.to_string())).collect();
    for to in missing {
        match connection.command(Rcpt::new(to.clone(), Vec::new())).await {
            Ok(_) => {
                accepted.insert(to.to_string());
            }
            Err(error) if error.status().is_some() => refusals.push((to.to_string(), error)),
            Err(error) => return unsent(&error),
        }
    }
    if let (true, Some((to, error))) = (accepted.is_empty(), refusals.first()) {
        return Outcome { error: Some(words_of(to, error, refusals.len(), !have.is_empty())), ..refused(error) };
    }
    if let Err(error) = connection.command(Data).await {
        return unsent(&error);
    }
    handed.store(true, Ordering::Relaxed);
    let response = match connection.message(&bytes).await {
        Ok(response) => response,
        Err(error) if error.status().is_some() => return refused(&error),
        Err(error) => return Outcome::lost(format!("the mail server broke off before it took the mail: {error}")),
    };
    let answer = response.message().collect::<Vec<_>>().join("\n");
    let Some((to, error)) = refusals.first() else {
        return Outcome::delivered(Some(response.code().into()), answer);
    };
    have.extend(accepted);
    let words = words_of(to, error, refusals.len(), true);
    Outcome { error: Some(words), had_by: have.into_iter().collect(), ..refused(error) }
}

fn words_of(to: &str, error: &Error, refused: usize, others_have_it: bool) -> String {
    let more = if refused > 1 { format!(" and {} more", refused - 1) } else { String::new() };
    let others = if others_have_it { "; the other addresses have the mail" } else { "" };
    format!("the mail server refused {to}{more}: {error}{others}")
}

/// What the server must know of the text. RFC 6531 and RFC 6152.
fn parameters(connection: &AsyncSmtpConnection, message: &Message, bytes: &[u8]) -> Result<Vec<MailParameter>, String> {
    let mut parameters = Vec::new();
    let envelope = message.envelope();
    if envelope.from().into_iter().chain(envelope.to()).any(|address| !address.to_string().is_ascii()) {
        if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Err("an address has letters that the mail server does not take".to_owned());
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !bytes.is_ascii() {
        if !connection.server_info().supports_feature(Extension::EightBitMime) {
            return Err("the mail has letters that the mail server does not take".to_owned());
        }
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    Ok(parameters)
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
