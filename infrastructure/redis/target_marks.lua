-- Marks of targets: a hash for each delivery, targets:<delivery id>, of target id -> pass|state|owner|result.
-- state: c(alling) a(nswered); the result is JSON, empty while calling. The claim (claims.lua) says who may call.
-- ARGV[1] names the operation; what follows is told at each. Every operation may be repeated.

local FORM = '^(%d+)|(%a)|([^|]*)|(.*)$'
local CLAIM = '^(%d+)|(%a)|([^|]*)|'
local FINAL = {sent = true, failed = true, unknown = true, cancelled = true}

local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

local function read(key, target)
  local pass, state, owner, result = string.match(redis.call('HGET', key, target) or '', FORM)
  if not pass then return nil end
  return {pass = tonumber(pass), state = state, owner = owner, result = result}
end

local function is_final(result)
  return FINAL[string.match(result, '"status":"(%a+)"')]
end

local function write(key, target, pass, state, owner, result, ttl)
  redis.call('HSET', key, target, string.format('%s|%s|%s|%s', pass, state, owner, result))
  redis.call('PEXPIRE', key, ttl)
end

-- find: ttl_ms. Per key: target, mark, target, mark, ...; what is there lives on as long as the claim that was just taken.
local function find()
  local found = {}
  for i, key in ipairs(KEYS) do
    found[i] = redis.call('HGETALL', key)
    if #found[i] > 0 then redis.call('PEXPIRE', key, ARGV[2]) end
  end
  return found
end

-- note: ttl_ms, owner, deadline_ms, number of answered, then pass, target and result for each of the answered, then pass and
-- target for each of the rest, which are to be called. KEYS: a hash for each, then a claim for each of the rest.
-- What time it is here, and per target to be called: 1 where it may be, 0 where not, -1 from the deadline on.
local function note()
  local ttl, owner, answered = ARGV[2], ARGV[3], tonumber(ARGV[5])
  local now, may = now_ms(), {}
  local starting = (#ARGV - 5 - 3 * answered) / 2
  for i = 1, answered do
    local pass, target, result = ARGV[3 + 3 * i], ARGV[4 + 3 * i], ARGV[5 + 3 * i]
    local mark = read(KEYS[i], target)
    local is_kept = mark and (mark.pass > tonumber(pass) or (mark.state == 'a' and is_final(mark.result))
      or mark.owner ~= owner)
    if is_final(result) or not is_kept then write(KEYS[i], target, pass, 'a', owner, result, ttl) end
  end
  for i = 1, starting do
    local at = 5 + 3 * answered + 2 * i
    local pass, target, key = ARGV[at - 1], ARGV[at], KEYS[answered + i]
    local claim_pass, state, holder = string.match(redis.call('GET', KEYS[answered + starting + i]) or '', CLAIM)
    may[i] = (claim_pass == pass and state == 'c' and holder == owner) and 1 or 0
    if now >= tonumber(ARGV[4]) then may[i] = -1 end
    if may[i] == 1 then write(key, target, pass, 'c', owner, '', ttl) end
  end
  return {now, may}
end

-- take_back: owner, then a target for each key.
local function take_back()
  for i, key in ipairs(KEYS) do
    local mark = read(key, ARGV[2 + i])
    if mark and mark.state == 'c' and mark.owner == ARGV[2] then redis.call('HDEL', key, ARGV[2 + i]) end
  end
  return 1
end

return ({find = find, note = note, take_back = take_back})[ARGV[1]]()
