-- Leases of one channel: the batches it has out, whoever sent them (app/domain/channel.py, may_go_out).
-- KEYS: a sorted set, member `priority|topic|partition`, score: the end of the lease in milliseconds.
-- ARGV: now_ms (the dispatchers' clock, by which leases end), the member, its end, bound, 1 where medium or low waits.
-- Returns 1 where the batch may go; it has its lease then. A member that is there already is renewed.

local key, now, member, bound = KEYS[1], tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[4])
local high, others = 0, 0
redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
for _, one in ipairs(redis.call('ZRANGE', key, 0, -1)) do
  if one ~= member then
    if string.sub(one, 1, 5) == 'high|' then high = high + 1 else others = others + 1 end
  end
end

local may_go
if string.sub(member, 1, 5) == 'high|' then
  may_go = high < math.max(1, bound - math.max(others, tonumber(ARGV[5])))
else
  may_go = others < math.max(1, math.floor(bound / 2)) and high + others < bound
end
if not may_go then return 0 end
redis.call('ZADD', key, ARGV[3], member)
local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2]
-- a minute more than it means anything: for clocks that differ
redis.call('PEXPIRE', key, math.max(1, math.ceil(last - now)) + 60000)
return 1
