-- Lane limits: take as many as every limit allows, from all of them or none (GCRA, see app/domain/gcra.py).
-- KEYS: one per limit, its TAT. ARGV: now_us (0: this server's clock), wanted, then interval_us, burst and pace for
-- each limit. Returns {granted, microseconds to wait where nothing was granted}.

local now, granted = tonumber(ARGV[1]), tonumber(ARGV[2])
if now == 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000000 + t[2]
end

local tats, wait, wanted = {}, 0, granted
for i, key in ipairs(KEYS) do
  local interval, burst, pace = tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1]), tonumber(ARGV[3 * i + 2])
  tats[i] = math.max(tonumber(redis.call('GET', key) or 0), now)
  granted = math.min(granted, math.floor((now + burst * interval - tats[i]) / interval))
  wait = math.max(wait, tats[i] + (math.min(wanted, pace) - burst) * interval - now)
end
if granted < 1 then return {0, wait} end

for i, key in ipairs(KEYS) do
  local tat = tats[i] + granted * tonumber(ARGV[3 * i])
  -- a second more than it means anything: a clock that is corrected must not free a limit
  redis.call('SET', key, string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 1000) + 1000)
end
return {granted, 0}
