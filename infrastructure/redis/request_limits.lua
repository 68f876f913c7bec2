-- Request limits: take one request of a limit if there is one left (app/domain/gcra.py, charge without a slot).
-- KEYS: the limit's TAT. ARGV: now_us (0: this server's clock), interval_us, burst.
-- Returns {1 where it was taken, else 0; microseconds from now to the TAT}.

local now, interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if now == 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000000 + t[2]
end

local tat = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
if tat + (1 - burst) * interval > now then return {0, tat - now} end

tat = tat + interval
-- a second more than it means anything: a clock that is corrected must not free a limit
redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 1000) + 1000)
return {1, tat - now}
