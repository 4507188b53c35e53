-- When rules were last looked at, and figures that could not be read then: known to every instance, whoever looks.
create table alert_looks (
    id smallint primary key check (id = 1),
    looked_at bigint not null,
    unread text not null
);
