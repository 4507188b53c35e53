//! What goes wrong in the shop's services, with the frames their code would leave.

/// A failure of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Class of the root cause.
    pub(super) class: &'static str,
    /// Its message.
    pub(super) message: String,
    /// Its frames, as `printStackTrace` writes them, down to where the framework called.
    pub(super) frames: &'static [&'static str],
    /// What the service wraps it in.
    pub(super) outer: Option<(&'static str, String)>,
    /// Stage of a connector.
    pub(super) stage: &'static str,
    /// Whether another try may help.
    pub(super) passing: bool,
}

impl Fault {
    fn new(class: &'static str, message: impl Into<String>, frames: &'static [&'static str]) -> Self {
        Self { class, message: message.into(), frames, outer: None, stage: "", passing: false }
    }

    /// Class of the exception that the framework sees.
    pub(super) fn outer_class(&self) -> &'static str {
        self.outer.as_ref().map_or(self.class, |(class, _)| class)
    }

    /// Message of the exception that the framework sees.
    pub(super) fn outer_message(&self) -> &str {
        self.outer.as_ref().map_or(&self.message, |(_, message)| message)
    }
}

/// An order that does not end: a converter's own words.
pub(super) fn broken_json(position: usize) -> Fault {
    let message = format!(
        "Unexpected end-of-input: was expecting closing quote for a string value\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: {}]",
        position + 1
    );
    Fault {
        outer: Some((
            "org.apache.kafka.connect.errors.DataException",
            "Converting byte[] to Kafka Connect data failed due to serialization error: ".to_owned(),
        )),
        stage: "VALUE_CONVERTER",
        ..Fault::new(
            "com.fasterxml.jackson.core.io.JsonEOFException",
            message,
            &[
                "com.fasterxml.jackson.core.base.ParserMinimalBase._reportInvalidEOF(ParserMinimalBase.java:643)",
                "com.fasterxml.jackson.core.json.UTF8StreamJsonParser._finishString2(UTF8StreamJsonParser.java:2603)",
                "com.fasterxml.jackson.databind.deser.std.BaseNodeDeserializer._deserializeContainerNoRecursion(JsonNodeDeserializer.java:538)",
                "com.fasterxml.jackson.databind.ObjectMapper.readTree(ObjectMapper.java:3363)",
                "org.apache.kafka.connect.json.JsonDeserializer.deserialize(JsonDeserializer.java:72)",
                "org.apache.kafka.connect.json.JsonConverter.toConnectData(JsonConverter.java:346)",
            ],
        )
    }
}

pub(super) fn unreadable_order(position: usize) -> Fault {
    let message = format!("Unexpected end-of-input in VALUE_STRING\n at [Source: UNKNOWN; byte offset: #{position}]");
    Fault {
        outer: Some(("shop.orders.OrderFormatException", "order cannot be read".to_owned())),
        ..Fault::new(
            "com.fasterxml.jackson.core.io.JsonEOFException",
            message,
            &[
                "com.fasterxml.jackson.core.base.ParserMinimalBase._reportInvalidEOF(ParserMinimalBase.java:643)",
                "com.fasterxml.jackson.databind.ObjectMapper.readValue(ObjectMapper.java:3825)",
                "shop.orders.OrderReader.read(OrderReader.java:27)",
                "shop.orders.OrderListener.onOrder(OrderListener.java:38)",
            ],
        )
    }
}

pub(super) fn unknown_sku(sku: &str) -> Fault {
    Fault::new(
        "shop.orders.UnknownProductException",
        format!("no product for {sku}"),
        &[
            "shop.orders.ProductCatalog.find(ProductCatalog.java:58)",
            "shop.orders.OrderValidator.validate(OrderValidator.java:41)",
            "shop.orders.OrderListener.onOrder(OrderListener.java:44)",
        ],
    )
}

pub(super) fn no_token() -> Fault {
    Fault::new(
        "java.lang.NullPointerException",
        "Cannot invoke \"shop.payments.CardToken.bin()\" because \"token\" is null",
        &[
            "shop.payments.CardTokenizer.tokenize(CardTokenizer.java:87)",
            "shop.payments.PaymentService.lambda$charge$2(PaymentService.java:112)",
            "java.base/java.util.Optional.map(Optional.java:260)",
            "shop.payments.PaymentService.charge(PaymentService.java:110)",
            "shop.payments.PaymentListener.onPayment(PaymentListener.java:36)",
        ],
    )
}

pub(super) fn card_declined(order_id: &str) -> Fault {
    Fault::new(
        "shop.payments.CardDeclinedException",
        format!("card declined for {order_id}: insufficient_funds"),
        &[
            "shop.payments.gateway.AcquirerClient.authorise(AcquirerClient.java:143)",
            "shop.payments.PaymentService.charge(PaymentService.java:121)",
            "shop.payments.PaymentListener.onPayment(PaymentListener.java:36)",
        ],
    )
}

pub(super) fn acquirer_slow(milliseconds: u64) -> Fault {
    Fault {
        outer: Some(("shop.payments.AcquirerUnavailableException", "acquirer did not answer".to_owned())),
        passing: true,
        ..Fault::new(
            "java.net.SocketTimeoutException",
            format!("Read timed out after {milliseconds} ms"),
            &[
                "java.base/sun.nio.ch.NioSocketImpl.timedRead(NioSocketImpl.java:278)",
                "org.apache.hc.client5.http.impl.classic.CloseableHttpClient.execute(CloseableHttpClient.java:123)",
                "shop.payments.gateway.AcquirerClient.post(AcquirerClient.java:201)",
                "shop.payments.gateway.AcquirerClient.authorise(AcquirerClient.java:139)",
                "shop.payments.PaymentService.charge(PaymentService.java:121)",
            ],
        )
    }
}

pub(super) fn carrier_timeout(carrier: &str, milliseconds: u64) -> Fault {
    Fault {
        outer: Some(("shop.shipping.LabelFailedException", format!("no label from {carrier}"))),
        ..Fault::new("java.net.http.HttpTimeoutException", format!("request to {carrier}-api timed out after {milliseconds} ms"), &[])
    }
}

pub(super) fn no_route(postal_code: &str) -> Fault {
    Fault::new("shop.shipping.NoRouteException", format!("no depot delivers to postal code {postal_code}"), &[])
}

pub(super) fn no_tax_rate(country: &str) -> Fault {
    Fault::new(
        "shop.billing.TaxRateMissingException",
        format!("no tax rate for country '{country}'"),
        &[
            "shop.billing.TaxTable.rate(TaxTable.java:66)",
            "shop.billing.InvoiceWriter.write(InvoiceWriter.java:91)",
            "shop.billing.BillingFunctions.lambda$invoice$0(BillingFunctions.java:24)",
        ],
    )
}

pub(super) fn no_card_on_invoice(order_id: &str) -> Fault {
    Fault {
        outer: Some(("shop.billing.InvoiceFailedException", format!("invoice for {order_id} failed"))),
        ..Fault::new(
            "java.util.NoSuchElementException",
            "No value present",
            &[
                "java.base/java.util.Optional.orElseThrow(Optional.java:377)",
                "shop.billing.PaymentReference.of(PaymentReference.java:19)",
                "shop.billing.InvoiceWriter.write(InvoiceWriter.java:97)",
                "shop.billing.BillingFunctions.lambda$invoice$0(BillingFunctions.java:24)",
            ],
        )
    }
}

pub(super) fn no_features(customer: u32) -> Fault {
    Fault::new(
        "shop.fraud.MissingFeaturesException",
        format!("no feature vector for customer {customer}"),
        &["shop.fraud.FeatureStore.load(FeatureStore.java:52)", "shop.fraud.ScoringProcessor.process(ScoringProcessor.java:37)"],
    )
}

pub(super) fn value_too_long(length: usize) -> Fault {
    Fault {
        outer: Some((
            "org.apache.kafka.connect.errors.ConnectException",
            "java.sql.BatchUpdateException: Batch entry 0 was aborted".to_owned(),
        )),
        stage: "TASK_PUT",
        ..Fault::new(
            "org.postgresql.util.PSQLException",
            format!("ERROR: value too long for type character varying(24): {length} characters"),
            &[
                "org.postgresql.core.v3.QueryExecutorImpl.receiveErrorResponse(QueryExecutorImpl.java:2725)",
                "org.postgresql.core.v3.QueryExecutorImpl.processResults(QueryExecutorImpl.java:2412)",
                "io.confluent.connect.jdbc.sink.BufferedRecords.flush(BufferedRecords.java:196)",
                "io.confluent.connect.jdbc.sink.JdbcDbWriter.write(JdbcDbWriter.java:80)",
            ],
        )
    }
}

pub(super) fn bad_address() -> Fault {
    Fault::new(
        "System.FormatException",
        "The specified string is not in the form required for an e-mail address.",
        &[
            "System.Net.Mail.MailAddressParser.TryParseAddress(String data, Boolean expectMultipleAddresses, Int32& index, ParseAddressInfo& parseAddressInfo, Boolean throwExceptionIfFail)",
            "System.Net.Mail.MailAddress..ctor(String address)",
            "Shop.Notifications.Mailer.<SendAsync>d__7.MoveNext() in /src/Shop.Notifications/Mailer.cs:line 58",
            "Shop.Notifications.OrderShippedHandler.Handle(OrderShipped message) in /src/Shop.Notifications/OrderShippedHandler.cs:line 23",
        ],
    )
}

pub(super) fn greylisted() -> Fault {
    Fault::new(
        "MailKit.Net.Smtp.SmtpCommandException",
        "451 4.7.1 greylisted, try again later",
        &[
            "MailKit.Net.Smtp.SmtpClient.SendAsync(FormatOptions options, MimeMessage message, CancellationToken cancellationToken)",
            "Shop.Notifications.SmtpTransport.<SendAsync>d__4.MoveNext() in /src/Shop.Notifications/SmtpTransport.cs:line 41",
            "Shop.Notifications.OrderShippedHandler.Handle(OrderShipped message) in /src/Shop.Notifications/OrderShippedHandler.cs:line 31",
        ],
    )
}
