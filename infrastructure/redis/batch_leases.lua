-- Leases of one channel: the batches it has out, whoever sent them (app/domain/channel.py, may_go_out).
-- KEYS: a hash, field `priority|topic|partition`, value `end|not_after`: when the lease ends by this server's clock, and the
-- batch's own not_after, which tells copies apart; then whose turn it is among high, and among the others: who was refused is
-- the next of its kind to get a place, as long as it goes on asking.
-- ARGV: `take`, field, not_after, life_ms, bound, 1 where medium or low wait, how long a turn is kept (ms).
-- Returns 1 where the batch may go; it has its lease then. A field that is there already is renewed.
-- ARGV: `give back`, field, not_after: a lease of a later copy stays.

local key, field = KEYS[1], ARGV[2]
local is_high = string.sub(field, 1, 5) == 'high|'

if ARGV[1] == 'give back' then
  local value = redis.call('HGET', key, field)
  if value and tonumber(string.match(value, '|(%d+)$')) <= tonumber(ARGV[3]) then redis.call('HDEL', key, field) end
  return 1
end

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local life, bound, turn_ms = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[7]
local high, others, is_renewal = 0, 0, false
local found = redis.call('HGETALL', key)
for i = 1, #found, 2 do
  if tonumber(string.match(found[i + 1], '^(%d+)|')) <= now then
    redis.call('HDEL', key, found[i])
  elseif found[i] == field then
    is_renewal = true
  else
    if string.sub(found[i], 1, 5) == 'high|' then high = high + 1 else others = others + 1 end
  end
end

local function is_kept_for_another(turn)
  local whose = redis.call('GET', turn)
  return whose and whose ~= field
end

local own_turn = is_high and KEYS[2] or KEYS[3]
local kept = not is_renewal and is_kept_for_another(own_turn) and 1 or 0
local may_go
if is_high then
  local others_wait = redis.call('EXISTS', KEYS[3]) == 1 and 1 or tonumber(ARGV[6])
  may_go = high + kept < math.max(1, bound - math.max(others, others_wait))
else
  may_go = others + kept < math.max(1, math.floor(bound / 2)) and high + others < bound
end
if not may_go then
  if not is_kept_for_another(own_turn) then redis.call('SET', own_turn, field, 'PX', turn_ms) end
  return 0
end
if redis.call('GET', own_turn) == field then redis.call('DEL', own_turn) end
redis.call('HSET', key, field, string.format('%.0f|%s', now + life, ARGV[3]))
if redis.call('PTTL', key) < life then redis.call('PEXPIRE', key, life + 60000) end
return 1
