-- Lost records are counted when they are lost. What series said before was how many lay beyond reach, a level that never ended; they
-- keep their rows until these grow too old, under a number that no figure has.
update series set figure = -11 where figure = 11;

create index gaps_by_time on gaps (noticed_at);
