-- User limits: charge a batch of deliveries, one after the other, each to all of its limits or none (GCRA, see
-- app/domain/gcra.py), and note the charge in the delivery's claim (format: claims.lua).
-- ARGV[1], JSON (packing thousands of arguments would cost the caller more than all of this): now_us (0: this server's
-- clock), owner, limits {key, interval_us, burst}, deliveries {id, slot_before_ms (0: never park), two numbers of limits
-- (from 1; 0: none)}. Returns per delivery 0 (may go now), the slot in ms, or -1 (refused).

local asked = cjson.decode(ARGV[1])
local now, owner, limits, deliveries = asked.now_us, asked.owner, asked.limits, asked.deliveries
if now == 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000000 + t[2]
end
local CLAIM = '^(%d+|%a|([^|]*)|%d+|)([^|]*)(|.*)$'
local CHUNK = 1000 -- unpack puts its values on Lua's stack, which ends near 8,000

-- The values of keys, by MGET in chunks: a call per key takes twice the time.
local function values(keys)
  local found = {}
  for from = 1, #keys, CHUNK do
    local part = redis.call('MGET', unpack(keys, from, math.min(from + CHUNK - 1, #keys)))
    for i = 1, #part do found[from - 1 + i] = part[i] end
  end
  return found
end

local claim_keys, limit_keys, intervals, allowances, changed = {}, {}, {}, {}, {}
for i, delivery in ipairs(deliveries) do claim_keys[i] = 'claim:' .. delivery[1] end
for i, limit in ipairs(limits) do
  limit_keys[i] = 'limit:' .. limit[1]
  intervals[i] = limit[2]
  allowances[i] = (1 - limit[3]) * limit[2]
end
local claims, tats = values(claim_keys), values(limit_keys)
for i = 1, #tats do tats[i] = math.max(tonumber(tats[i] or 0), now) end

-- 0, a slot in microseconds, or -1.
local function charge(slot_before, a, b)
  local due = now
  if a > 0 then due = math.max(due, tats[a] + allowances[a]) end
  if b > 0 then due = math.max(due, tats[b] + allowances[b]) end
  if due > now and due >= slot_before then return -1 end
  if a > 0 then tats[a], changed[a] = tats[a] + intervals[a], true end
  if b > 0 then tats[b], changed[b] = tats[b] + intervals[b], true end
  return due > now and due or 0
end

local answers = {}
for i, delivery in ipairs(deliveries) do
  local before, holder, noted, after
  if claims[i] then before, holder, noted, after = string.match(claims[i], CLAIM) end
  if before and noted ~= '' then
    local slot = tonumber(noted) or 0
    answers[i] = slot * 1000 > now and slot or 0
  elseif before and holder ~= owner then
    answers[i] = 0 -- somebody else's by now: they are charged, and no call of ours will be allowed
  else
    local due = charge(delivery[2] * 1000, delivery[3], delivery[4])
    answers[i] = due > 0 and math.ceil(due / 1000) or due
    if before and due >= 0 then
      local note = due > 0 and string.format('%.0f', answers[i]) or 'c'
      redis.call('SET', claim_keys[i], before .. note .. after, 'KEEPTTL')
    end
  end
end

for i in pairs(changed) do
  -- kept a second longer than it means anything: a clock that is corrected must not free a limit
  local ttl_ms = math.ceil((tats[i] - now) / 1000) + 1000
  redis.call('PSETEX', limit_keys[i], ttl_ms, string.format('%.0f', tats[i])) -- SET with PX takes half as long again
end
return answers
