-- The health of a provider after more calls (app/domain/provider_health.py, after_calls).
-- KEYS: a hash with at_ms, share, calls, bad, down. ARGV: now_ms (0: this server's clock), calls, bad, half_life_s, least_calls, most_bad, least, back_s.
-- Returns the share as text. Nothing is written where nobody called.

local now, new_calls, new_bad = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local half_life, least_calls, most_bad = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local least, back = tonumber(ARGV[7]), tonumber(ARGV[8])
if now == 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end

local found = redis.call('HMGET', KEYS[1], 'at_ms', 'share', 'calls', 'bad', 'down')
local at = tonumber(found[1]) or now
local before, calls, bad, is_down = tonumber(found[2]) or 1, tonumber(found[3]) or 0, tonumber(found[4]) or 0, found[5] == '1'

local passed = math.max(0, now - at) / 1000
local fading = 0.5 ^ (passed / half_life)
calls, bad = calls * fading + new_calls, bad * fading + new_bad
local rising = is_down and math.max(0, passed - back) or passed
local share = math.min(1, before + rising / back)
if new_calls > 0 then
  is_down = new_bad > new_calls * most_bad and (calls >= least_calls or before < 1)
  if is_down then share = math.max(least, math.min(before, (1 - bad / calls) ^ 3)) end
end
local text = string.format('%.17g', share)
if new_calls > 0 then
  redis.call('HSET', KEYS[1], 'at_ms', string.format('%.0f', math.max(now, at)), 'share', text,
             'calls', string.format('%.17g', calls), 'bad', string.format('%.17g', bad), 'down', is_down and '1' or '0')
  -- by then it is well again, and nothing is counted any more
  redis.call('EXPIRE', KEYS[1], math.ceil(2 * back + 20 * half_life))
end
return text
