-- Providers that operators have disabled: one JSON object by name, so that it is read along with breakers.
-- KEYS: that. ARGV: now_ms, name, what is to be known of it as JSON (empty: it is enabled).
-- Returns 1 where it was disabled before. Those whose time has passed are taken out.

local now, name, value = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local all = cjson.decode(redis.call('GET', KEYS[1]) or '{}')
for other, off in pairs(all) do
  if (off.until_ms or 0) > 0 and off.until_ms <= now then all[other] = nil end
end
local was = all[name] and 1 or 0
all[name] = value ~= '' and cjson.decode(value) or nil
if next(all) then
  redis.call('SET', KEYS[1], cjson.encode(all))
else
  redis.call('DEL', KEYS[1])
end
return was
